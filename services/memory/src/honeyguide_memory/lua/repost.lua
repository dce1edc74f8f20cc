-- Brings one partition of the near index from version 1 of the layout, sorted sets, to version 2. Idempotent.
-- KEYS[1] the partition's hash tag. ARGV: the partition, number of partitions, number of grams.
local tag = KEYS[1]
for gram = tonumber(ARGV[1]), tonumber(ARGV[3]) - 1, tonumber(ARGV[2]) do
  local posted = redis.call('ZRANGE', tag .. gram, 0, -1)
  if #posted > 0 then
    redis.call('SET', tag .. 'g' .. gram, table.concat(posted))
    redis.call('UNLINK', tag .. gram)
  end
end
return 1
