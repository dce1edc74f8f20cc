-- Adds actions to owners (queries, words, users ...) of one partition.
-- KEYS[1] the partition's hash tag. ARGV: half-lives (s), sets of event ids, ids a set, number of kinds, per kind: its
-- letter, pairs an owner may have, bytes all its owners may have, seconds of rest before an owner goes (0 = never);
-- last all events, packed: id, time, weight (doubles), number of pairs (16 bits), per pair: kind (a letter),
-- owner (8 bytes), target (16 bits of length, then bytes).
local tag = KEYS[1]
local half_short, half_long = tonumber(ARGV[1]), tonumber(ARGV[2])
local sets, ids_max = tonumber(ARGV[3]), tonumber(ARGV[4])

-- As measured on Valkey 9, on the safe side: a target of more than 64 bytes makes Redis store an owner less densely.
local OWNER_BYTES = 168
local function pair_bytes(target) return #target + (#target > 64 and 112 or 48) end

local kinds, at = {}, 6
for _ = 1, tonumber(ARGV[5]) do
  kinds[ARGV[at]] = {
    name = ARGV[at], pairs_max = tonumber(ARGV[at + 1]), bytes_max = tonumber(ARGV[at + 2]),
    rest_s = tonumber(ARGV[at + 3]), grown = 0, touched = {},
  }
  at = at + 4
end

-- Least evidence leaves first; a tenth more than needed, so that the next ones come cheap.
local function trim(key, kind)
  local all, rows, newest = redis.call('HGETALL', key), {}, 0
  for i = 2, #all, 2 do
    local _, _, _, _, last = struct.unpack('<ffffd', all[i])
    newest = math.max(newest, last)
  end
  for i = 1, #all, 2 do
    local ps, ns, pl, nl, last = struct.unpack('<ffffd', all[i + 1])
    local value = (ps + ns) * 2 ^ ((last - newest) / half_short) + (pl + nl) * 2 ^ ((last - newest) / half_long)
    rows[#rows + 1] = { all[i], value }
  end
  table.sort(rows, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  for i = 1, #rows - kind.pairs_max + math.floor(kind.pairs_max / 10) do
    redis.call('HDEL', key, rows[i][1])
    kind.grown = kind.grown - pair_bytes(rows[i][1])
  end
end

local function forget(kind, owner)
  local key = tag .. 'o' .. owner
  local targets = redis.call('HKEYS', key)
  if #targets > 0 then
    kind.grown = kind.grown - OWNER_BYTES
    for _, target in ipairs(targets) do kind.grown = kind.grown - pair_bytes(target) end
    redis.call('UNLINK', key)
  end
  redis.call('ZREM', tag .. 'z' .. kind.name, owner)
end

local events, pos = ARGV[at], 1
while pos <= #events do
  local id, time, weight, count
  id, time, weight, count, pos = struct.unpack('<dddH', events, pos)
  local first = seen_first(tag, id, sets, ids_max)
  for _ = 1, count do
    local letter, owner, length
    letter, owner, length, pos = struct.unpack('<c1c8H', events, pos)
    local target = string.sub(events, pos, pos + length - 1)
    pos = pos + length
    if first then
      local kind, key = kinds[letter], tag .. 'o' .. owner
      local value = redis.call('HGET', key, target)
      redis.call('HSET', key, target, (mass_add(value, time, weight, half_short, half_long)))
      if not value then
        local size = redis.call('HLEN', key)
        kind.grown = kind.grown + pair_bytes(target) + (size == 1 and OWNER_BYTES or 0)
        if size > kind.pairs_max then trim(key, kind) end
      end
      if time > (kind.touched[owner] or -math.huge) then kind.touched[owner] = time end
    end
  end
end

for name, kind in pairs(kinds) do
  if next(kind.touched) then
    local owners = tag .. 'z' .. name
    for owner, time in pairs(kind.touched) do redis.call('ZADD', owners, 'GT', time, owner) end
    if kind.rest_s > 0 then
      local newest = tonumber(redis.call('ZRANGE', owners, -1, -1, 'WITHSCORES')[2])
      local rested = redis.call('ZRANGE', owners, '-inf', '(' .. string.format('%.17g', newest - kind.rest_s),
        'BYSCORE', 'LIMIT', 0, 1000)
      for _, owner in ipairs(rested) do forget(kind, owner) end
    end
    local bytes = tonumber(redis.call('HGET', tag .. 'b', name) or 0)
    while bytes + kind.grown > kind.bytes_max do
      local coldest = redis.call('ZRANGE', owners, 0, 0)[1]
      if not coldest then break end
      forget(kind, coldest)
    end
    redis.call('HSET', tag .. 'b', name, string.format('%d', bytes + kind.grown))
  end
end
return 1
