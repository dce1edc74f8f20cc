-- Enters queries under their grams, in the partitions of the near index that are on one node. Idempotent.
-- KEYS[n + 1] the hash tag of grams that leave n when divided by the number of KEYS. ARGV: queries a gram may have; all
-- entries, packed: gram, number of queries (16 bits each), the queries (9 bytes each).
-- A gram's queries are one string, latest posted last, so that reading it costs next to nothing. One that is posted
-- already stays where it is, until half of what a gram may have came after it.
local QUERY_BYTES = 9
local queries_max, entries, pos = tonumber(ARGV[1]), ARGV[2], 1
local bytes_max, bytes_kept = queries_max * QUERY_BYTES, math.floor(queries_max * 0.9) * QUERY_BYTES
while pos <= #entries do
  local gram, count
  gram, count, pos = struct.unpack('<HH', entries, pos)
  local key = KEYS[gram % #KEYS + 1] .. 'g' .. gram
  local posted = redis.call('GET', key) or ''
  local kept, new = posted, ''
  for at = pos, pos + (count - 1) * QUERY_BYTES, QUERY_BYTES do
    local query = string.sub(entries, at, at + QUERY_BYTES - 1)
    local found = string.find(kept, query, 1, true)
    if not found then
      new = new .. query
    elseif #kept - found > bytes_max / 2 then
      kept = string.sub(kept, 1, found - 1) .. string.sub(kept, found + QUERY_BYTES)
      new = new .. query
    end
  end
  pos = pos + count * QUERY_BYTES
  if #kept + #new > bytes_max then -- a tenth goes at once, so that the next ones come cheap
    redis.call('SET', key, string.sub(kept .. new, -bytes_kept))
  elseif kept ~= posted then
    redis.call('SET', key, kept .. new)
  elseif new ~= '' then
    redis.call('APPEND', key, new)
  end
end
return 1
