-- True once for every event id. Ids (whole numbers below 2^52) lie in many small sets, which Redis packs to some 9 bytes
-- an id. A full set becomes the older of two generations, so each partition knows its last ids for certain, at least
-- half of what it may keep.
local function seen_first(tag, id, sets, ids_max)
  local set = tag .. 'e' .. string.format('%d', id % sets)
  local member = string.format('%d', id)
  if redis.call('SISMEMBER', set .. 'o', member) == 1 or redis.call('SADD', set, member) == 0 then return false end
  if redis.call('SCARD', set) >= ids_max then redis.call('RENAME', set, set .. 'o') end
  return true
end
