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

local function leave(name, type, document) -- whether it was listed, if only among its type
  local listed = redis.call('ZREM', tag .. name, document) + redis.call('ZREM', tag .. name .. ':' .. type, document)
  return listed > 0
end

for at = 2, #ARGV, 5 do
  local document, record, popularity, created = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local type = string.sub(record, 2, 1 + string.byte(record))
  local before = redis.call('HGET', tag .. 'r', document)
  if before ~= record then
    local new = true -- among the undated: one that was there keeps its time of indexing
    if before then
      local type_before = string.sub(before, 2, 1 + string.byte(before))
      redis.call('HINCRBY', tag .. 'n', type_before, -1)
      leave('c', type_before, document)
      new = leave('f', type_before, document) or type_before ~= type
      if new or created ~= '' then leave('i', type_before, document) end
      if type_before ~= type then -- what it was acted on goes with it
        local acted = redis.call('ZSCORE', tag .. 't:' .. type_before, document)
        if acted then
          redis.call('ZREM', tag .. 't:' .. type_before, document)
          list(tag .. 't:' .. type, acted, document)
        end
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
