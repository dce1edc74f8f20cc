-- Enters queries under their grams, in one partition of the near index. Idempotent.
-- KEYS[1] the partition's hash tag. ARGV: queries a gram may have; all entries, packed: gram (16 bits), query (9 bytes),
-- time of the action (double).
local tag, posted_max, entries, pos = KEYS[1], tonumber(ARGV[1]), ARGV[2], 1
while pos <= #entries do
  local gram, query, time
  gram, query, time, pos = struct.unpack('<Hc9d', entries, pos)
  local key = tag .. gram
  if redis.call('ZADD', key, 'GT', time, query) == 1 then
    local over = redis.call('ZCARD', key) - posted_max
    if over > 0 then redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
  end
end
return 1
