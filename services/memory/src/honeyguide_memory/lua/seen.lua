-- True once for every event id: ids are kept in one set a day of event time, those of days that left the window are
-- dropped. Events older than the window share a set of their own. A full set becomes the older of two generations.
local seen_sets, seen_newest = {}, nil

local function seen_first(tag, id, time, window_days)
  local day = math.floor(time / 86400)
  seen_newest = seen_newest or tonumber(redis.call('GET', tag .. 'day') or day - 1)
  if day > seen_newest then
    for past = seen_newest - window_days, math.min(seen_newest, day - window_days - 1) do
      redis.call('DEL', tag .. 'e' .. past, tag .. 'e' .. past .. 'o')
      seen_sets[past] = nil
    end
    seen_newest = day
    redis.call('SET', tag .. 'day', string.format('%d', day))
  end
  if day < seen_newest - window_days then day = 'late' end
  local set = seen_sets[day]
  if not set then
    local key = tag .. 'e' .. day
    set = { key = key, older = redis.call('EXISTS', key .. 'o') == 1 and key .. 'o' }
    seen_sets[day] = set
  end
  if set.older and redis.call('SISMEMBER', set.older, id) == 1 then return false end
  return redis.call('SADD', set.key, id) == 1
end

-- To be called once after all events.
local function seen_rotate(ids_max)
  for _, set in pairs(seen_sets) do
    if redis.call('SCARD', set.key) >= ids_max then redis.call('RENAME', set.key, set.key .. 'o') end
  end
end
