-- Inserts or replaces documents of one partition.
-- KEYS[1] the partition's hash tag. ARGV: list length; then per document: id, record, popularity, time of creation
-- ('' = unknown), time of indexing.
local tag, listed_max = KEYS[1], tonumber(ARGV[1])

local function list(key, score, document)
  local over = redis.call('ZCARD', key) - listed_max
  if over >= 0 and tonumber(score) < tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) then return end
  redis.call('ZADD', key, score, document)
  over = redis.call('ZCARD', key) - listed_max
  if over > 0 then redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
end

for at = 2, #ARGV, 5 do
  local document, record, popularity, created = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local type = string.sub(record, 2, 1 + string.byte(record))
  local before = redis.call('HGET', tag .. 'r', document)
  local new = true
  if before ~= record then
    if before then -- it leaves all lists that it may no longer belong to
      local type_before = string.sub(before, 2, 1 + string.byte(before))
      new = type_before ~= type
      redis.call('HINCRBY', tag .. 'n', type_before, -1)
      local lists = { 'c', 'f' }
      if new then lists = { 'c', 'f', 'i', 't' } end
      for _, name in ipairs(lists) do
        redis.call('ZREM', tag .. name, document)
        redis.call('ZREM', tag .. name .. ':' .. type_before, document)
      end
    end
    redis.call('HSET', tag .. 'r', document, record)
    redis.call('HINCRBY', tag .. 'n', type, 1)
    if tonumber(popularity) > 0 then
      list(tag .. 'c', popularity, document)
      list(tag .. 'c:' .. type, popularity, document)
    end
    if created ~= '' then
      list(tag .. 'f', created, document)
      list(tag .. 'f:' .. type, created, document)
    elseif new then
      list(tag .. 'i', ARGV[at + 4], document)
      list(tag .. 'i:' .. type, ARGV[at + 4], document)
    end
  end
end
return 1
