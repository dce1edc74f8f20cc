-- True once for every event id: ids are kept in one set a day of event time, those of days that left the window are
-- dropped. Events older than the window share a set of their own. A full set becomes the older of two generations.
local function seen_first(tag, id, time, window_days, ids_max)
  local day = math.floor(time / 86400)
  local newest = tonumber(redis.call('GET', tag .. 'day') or day - 1)
  if day > newest then
    for past = newest - window_days, math.min(newest, day - window_days - 1) do
      redis.call('DEL', tag .. 'e' .. past, tag .. 'e' .. past .. 'o')
    end
    newest = day
    redis.call('SET', tag .. 'day', string.format('%d', newest))
  end
  local set = tag .. 'e' .. (day < newest - window_days and 'late' or day)
  if redis.call('SISMEMBER', set .. 'o', id) == 1 or redis.call('SADD', set, id) == 0 then return false end
  if redis.call('SCARD', set) >= ids_max then redis.call('RENAME', set, set .. 'o') end
  return true
end
