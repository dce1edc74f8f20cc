-- Adds predicted pairs to queries of one partition. A query's pairs are one packed string in a bucket (a hash of some
-- dozens of queries); a bucket that grows too large loses its least promising queries.
-- KEYS[1] the partition's hash tag. ARGV: bytes a bucket may have, pairs a query may have; all pairs, packed: bucket
-- (16 bits), query (8 bytes), score, stamp, length of the document's id (16 bits each), the id; packed alike, pairs that
-- are stale and leave the queries that are added to.
-- Returns the pairs that found no room, packed alike, then of each query that had none its id and what it holds.
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

local function read(packed, pos)
  local bucket, query, score, stamp, length, at = struct.unpack('<Hc8HHH', packed, pos)
  return bucket, query, { score, stamp, string.sub(packed, at, at + length - 1) }, at + length
end

local stale, pos = {}, 1
while pos <= #ARGV[4] do
  local query, row, _
  _, query, row, pos = read(ARGV[4], pos)
  stale[query] = stale[query] or {}
  stale[query][row[3]] = row[2]
end

local left_out, full = {}, {} -- of each full query what it holds, and the queries in order
pos = 1
while pos <= #ARGV[3] do
  local bucket, query, new
  bucket, query, new, pos = read(ARGV[3], pos)
  local key, gone = tag .. 'p' .. bucket, stale[query] or {}
  local before = redis.call('HGET', key, query)
  local kept, least = {}, nil
  for _, row in ipairs(entries(before or '')) do
    if row[3] ~= new[3] and gone[row[3]] ~= row[2] then
      kept[#kept + 1] = row
      if not least or row[1] < kept[least][1] then least = #kept end
    end
  end
  local loser = nil
  if #kept < pairs_max then
    kept[#kept + 1] = new
  elseif new[1] > kept[least][1] then
    loser, kept[least] = kept[least], new
  else
    loser = new
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
  if loser then
    left_out[#left_out + 1] = struct.pack('<Hc8HHH', bucket, query, loser[1], loser[2], #loser[3]) .. loser[3]
    if not full[query] then full[#full + 1] = query end
  end
  if loser or full[query] then full[query] = after end
end

local reply = { table.concat(left_out) }
for _, query in ipairs(full) do
  reply[#reply + 1] = query
  reply[#reply + 1] = full[query]
end
return reply
