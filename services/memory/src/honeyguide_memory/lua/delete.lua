-- Removes documents of one partition; returns how many there were. KEYS[1] the partition's hash tag, ARGV the ids.
local tag, found = KEYS[1], 0
for _, document in ipairs(ARGV) do
  local record = redis.call('HGET', tag .. 'r', document)
  if record then
    local type = string.sub(record, 2, 1 + string.byte(record))
    found = found + 1
    redis.call('HDEL', tag .. 'r', document)
    redis.call('HDEL', tag .. 'p', document)
    if redis.call('HINCRBY', tag .. 'n', type, -1) == 0 then redis.call('HDEL', tag .. 'n', type) end
    for _, name in ipairs({ 't', 'c', 'f', 'i' }) do
      redis.call('ZREM', tag .. name, document)
      redis.call('ZREM', tag .. name .. ':' .. type, document)
    end
  end
end
return found
