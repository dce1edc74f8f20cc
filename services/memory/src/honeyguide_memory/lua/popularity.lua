-- Adds actions to the popularity of documents of the partitions that are on one node; returns how many events were new.
-- KEYS the partitions' hash tags. ARGV: half-lives (s), sets of event ids, ids a set, list length; last all events,
-- packed: id, time, weight (doubles), partition (16 bits, which of KEYS), document (16 bits of length, then bytes).
-- Lists hold log2(mass) + time / half-life, so that decay never rewrites them.
local half_short, half_long = tonumber(ARGV[1]), tonumber(ARGV[2])
local sets, ids_max, listed_max = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local new = 0

local function list(key, document, mass, last)
  if mass > 0 then
    local score = math.log(mass) / math.log(2) + last / half_short
    if redis.call('ZADD', key, string.format('%.17g', score), document) == 1 then
      local over = redis.call('ZCARD', key) - listed_max
      if over > 0 then redis.call('ZREMRANGEBYRANK', key, 0, over - 1) end
    end
  else
    redis.call('ZREM', key, document)
  end
end

local acted = {} -- the documents in order, and the actions on each
local events, pos = ARGV[6], 1
while pos <= #events do
  local id, time, weight, partition, document
  id, time, weight, partition, document, pos = struct.unpack('<dddHHc0', events, pos)
  if seen_first(KEYS[partition], id, sets, ids_max) then
    new = new + 1
    if weight ~= 0 then
      if not acted[document] then
        acted[document] = { tag = KEYS[partition] }
        acted[#acted + 1] = document
      end
      local actions = acted[document]
      actions[#actions + 1] = time
      actions[#actions + 1] = weight
    end
  end
end

for _, document in ipairs(acted) do
  local actions = acted[document]
  local tag = actions.tag
  local record = redis.call('HGET', tag .. 'r', document)
  if record then
    local value, mass, last = redis.call('HGET', tag .. 'p', document), nil, nil
    for i = 1, #actions, 2 do
      value, mass, last = mass_add(value, actions[i], actions[i + 1], half_short, half_long)
    end
    redis.call('HSET', tag .. 'p', document, value)
    list(tag .. 't', document, mass, last)
    list(tag .. 't:' .. string.sub(record, 2, 1 + string.byte(record)), document, mass, last)
  end
end
return new
