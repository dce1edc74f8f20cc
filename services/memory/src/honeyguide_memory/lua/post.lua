-- Enters queries under their grams, in one partition of the near index. Idempotent.
-- KEYS[1] the partition's hash tag. ARGV: queries a gram may have; then per entry: gram, query, time of the action.
local tag, posted_max = KEYS[1], tonumber(ARGV[1])
for at = 2, #ARGV, 3 do
  local key = tag .. ARGV[at]
  if redis.call('ZADD', key, 'GT', ARGV[at + 2], ARGV[at + 1]) == 1 then
    local over = redis.call('ZCARD', key) - posted_max
    if over > 0 then redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
  end
end
return 1
