-- Adds actions to the popularity of documents of one partition; returns how many events were new.
-- KEYS[1] the partition's hash tag. ARGV: half-lives (s), sets of event ids, ids a set, list length; last all events,
-- packed: id, time, weight (doubles), document (16 bits of length, then bytes). Lists hold log2(mass) + time / half-life, so that decay never rewrites them.
local tag = KEYS[1]
local half_short, half_long = tonumber(ARGV[1]), tonumber(ARGV[2])
local sets, ids_max, listed_max = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local new = 0

local function list(key, document, mass, last)
  if mass > 0 then
    local score = math.log(mass) / math.log(2) + last / half_short
    redis.call('ZADD', key, string.format('%.17g', score), document)
    local over = redis.call('ZCARD', key) - listed_max
    if over > 0 then redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
  else
    redis.call('ZREM', key, document)
  end
end

local events, pos = ARGV[6], 1
while pos <= #events do
  local id, time, weight, length
  id, time, weight, length, pos = struct.unpack('<dddH', events, pos)
  local document = string.sub(events, pos, pos + length - 1)
  pos = pos + length
  if seen_first(tag, id, sets, ids_max) then
    new = new + 1
    local record = redis.call('HGET', tag .. 'r', document)
    if record and weight ~= 0 then
      local value = redis.call('HGET', tag .. 'p', document)
      local packed, mass, last = mass_add(value, time, weight, half_short, half_long)
      redis.call('HSET', tag .. 'p', document, packed)
      list(tag .. 't', document, mass, last)
      list(tag .. 't:' .. string.sub(record, 2, 1 + string.byte(record)), document, mass, last)
    end
  end
end
return new
