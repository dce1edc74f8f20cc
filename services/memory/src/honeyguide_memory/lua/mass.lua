-- Decayed action mass of one pair: positive and negative at a short and a long half-life, each as of `last`,
-- the newest action's time (seconds). Adding commutes, so events may come in any order.
local function mass_add(value, time, weight, half_short, half_long)
  local ps, ns, pl, nl, last = 0, 0, 0, 0, time
  if value then ps, ns, pl, nl, last = struct.unpack('<ffffd', value) end
  local short, long = 1, 1
  if time >= last then
    local fade_short, fade_long = 2 ^ ((last - time) / half_short), 2 ^ ((last - time) / half_long)
    ps, ns, pl, nl, last = ps * fade_short, ns * fade_short, pl * fade_long, nl * fade_long, time
  else
    short, long = 2 ^ ((time - last) / half_short), 2 ^ ((time - last) / half_long)
  end
  if weight > 0 then
    ps, pl = ps + weight * short, pl + weight * long
  else
    ns, nl = ns - weight * short, nl - weight * long
  end
  return struct.pack('<ffffd', ps, ns, pl, nl, last), ps - ns, last
end
