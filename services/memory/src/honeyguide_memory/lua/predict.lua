-- Adds predicted pairs to queries of one partition. A query's pairs are one packed string in a bucket (a hash of some
-- dozens of queries); a bucket that grows too large loses its least promising queries.
-- KEYS[1] the partition's hash tag. ARGV: bytes a bucket may have, pairs a query may have; all pairs, packed: bucket
-- (16 bits), query (8 bytes), score, stamp, length of the document's id (16 bits each), the id.
local tag, bytes_max, pairs_max = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local QUERY_BYTES = 40

local function entries(packed)
  local rows, at = {}, 1
  while at <= #packed do
    local score, stamp, length = struct.unpack('<HHH', packed, at)
    rows[#rows + 1] = { score, stamp, string.sub(packed, at + 6, at + 5 + length) }
    at = at + 6 + length
  end
  return rows
end

local function shrink(key, bytes)
  local all, rows = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    if all[i] ~= '' then
      local best = 0
      for _, row in ipairs(entries(all[i + 1])) do best = math.max(best, row[1]) end
      rows[#rows + 1] = { all[i], best, #all[i + 1] }
    end
  end
  table.sort(rows, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  for _, row in ipairs(rows) do
    if bytes <= bytes_max * 0.9 then break end
    redis.call('HDEL', key, row[1])
    bytes = bytes - row[3] - QUERY_BYTES
  end
  return bytes
end

local pairs_packed, pos = ARGV[3], 1
while pos <= #pairs_packed do
  local bucket, query, score, stamp, length
  bucket, query, score, stamp, length, pos = struct.unpack('<Hc8HHH', pairs_packed, pos)
  local key, document = tag .. 'p' .. bucket, string.sub(pairs_packed, pos, pos + length - 1)
  pos = pos + length
  local before = redis.call('HGET', key, query)
  local rows = entries(before or '')
  local kept, least = {}, nil
  for _, row in ipairs(rows) do
    if row[3] ~= document then
      kept[#kept + 1] = row
      if not least or row[1] < kept[least][1] then least = #kept end
    end
  end
  if #kept < pairs_max then
    kept[#kept + 1] = { score, stamp, document }
  elseif score > kept[least][1] then
    kept[least] = { score, stamp, document }
  end
  local packed = {}
  for i, row in ipairs(kept) do packed[i] = struct.pack('<HHH', row[1], row[2], #row[3]) .. row[3] end
  local after = table.concat(packed)
  if after ~= before then
    redis.call('HSET', key, query, after)
    local grown = #after - (before and #before or -QUERY_BYTES)
    local bytes = redis.call('HINCRBY', key, '', grown)
    if bytes > bytes_max then redis.call('HSET', key, '', string.format('%d', shrink(key, bytes))) end
  end
end
return 1
