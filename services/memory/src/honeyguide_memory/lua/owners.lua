-- Adds to owners (queries, words, users ...) of the partitions that are on one node, and keeps them within their bounds.
-- KEYS the partitions' hash tags. ARGV: half-lives (s), sets of event ids, ids a set, number of kinds, per kind: its
-- letter, pairs an owner may have, bytes all its owners may have, seconds of rest before an owner goes (0 = never);
-- last what the script that goes on from here reads. How warm an owner is goes by the minute, so that most actions
-- leave the owners' order as it is.
local half_short, half_long = tonumber(ARGV[1]), tonumber(ARGV[2])
local sets, ids_max = tonumber(ARGV[3]), tonumber(ARGV[4])

-- As measured on Valkey 9, on the safe side: a target of more than 64 bytes makes Redis store an owner less densely.
local OWNER_BYTES = 168
local function pair_bytes(target) return #target + (#target > 64 and 112 or 48) end

local kinds, at = {}, 6
for _ = 1, tonumber(ARGV[5]) do
  kinds[ARGV[at]] = {
    name = ARGV[at], pairs_max = tonumber(ARGV[at + 1]), bytes_max = tonumber(ARGV[at + 2]),
    rest_s = tonumber(ARGV[at + 3]), shares = {},
  }
  at = at + 4
end

-- What one partition has of a kind, as far as it changes here. `acted`: the owners in order, and of each by its name the
-- actions: target, time, weight in turns.
local function share_of(kind, partition)
  local share = kind.shares[partition]
  if not share then
    local tag = KEYS[partition]
    share = { tag = tag, owners = tag .. 'z' .. kind.name, pairs_max = kind.pairs_max, grown = 0, acted = {} }
    kind.shares[partition] = share
  end
  return share
end

-- Least evidence leaves first; a tenth more than needed, so that the next ones come cheap.
local function trim(key, share)
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
  for i = 1, #rows - share.pairs_max + math.floor(share.pairs_max / 10) do
    redis.call('HDEL', key, rows[i][1])
    share.grown = share.grown - pair_bytes(rows[i][1])
  end
end

local function forget(share, owner)
  local key = share.tag .. 'o' .. owner
  local targets = redis.call('HKEYS', key)
  if #targets > 0 then
    share.grown = share.grown - OWNER_BYTES
    for _, target in ipairs(targets) do share.grown = share.grown - pair_bytes(target) end
    redis.call('UNLINK', key)
  end
  redis.call('ZREM', share.owners, owner)
end

-- Adds an owner's actions; returns the minute of the newest.
local function add(share, owner, actions)
  local key, newest, new = share.tag .. 'o' .. owner, -math.huge, 0
  local masses, changed = {}, {}
  for i = 1, #actions, 3 do
    local target, time, weight = actions[i], actions[i + 1], actions[i + 2]
    local value = masses[target]
    if not value then
      value = redis.call('HGET', key, target)
      changed[#changed + 1] = target
      if not value then
        new = new + 1
        share.grown = share.grown + pair_bytes(target)
      end
    end
    masses[target] = mass_add(value, time, weight, half_short, half_long)
    newest = math.max(newest, time)
  end
  for i = #changed, 1, -1 do changed[2 * i - 1], changed[2 * i] = changed[i], masses[changed[i]] end
  redis.call('HSET', key, unpack(changed))
  if new > 0 then
    local size = redis.call('HLEN', key)
    if size == new then share.grown = share.grown + OWNER_BYTES end
    if size > share.pairs_max then trim(key, share) end
  end
  return newest - newest % 60
end

-- What is done to an owner by this script so far: target, time, weight in turns; to be added to.
local function actions_of(letter, partition, owner)
  local acted = share_of(kinds[letter], partition).acted
  local actions = acted[owner]
  if not actions then
    actions = {}
    acted[owner], acted[#acted + 1] = actions, owner
  end
  return actions
end

-- Writes all of it.
local function apply()
  for name, kind in pairs(kinds) do
    for _, share in pairs(kind.shares) do
      local warmed = {}
      for i, owner in ipairs(share.acted) do
        warmed[2 * i - 1], warmed[2 * i] = add(share, owner, share.acted[owner]), owner
      end
      if redis.call('ZADD', share.owners, 'GT', unpack(warmed)) > 0 and kind.rest_s > 0 then
        local newest = tonumber(redis.call('ZRANGE', share.owners, -1, -1, 'WITHSCORES')[2])
        local rested = redis.call('ZRANGE', share.owners, '-inf', newest - kind.rest_s, 'BYSCORE', 'LIMIT', 0, 1000)
        for _, owner in ipairs(rested) do forget(share, owner) end
      end
      if share.grown ~= 0 then
        local sizes = share.tag .. 'b'
        local bytes = redis.call('HINCRBY', sizes, name, share.grown)
        share.grown = 0
        while bytes + share.grown > kind.bytes_max do
          local coldest = redis.call('ZRANGE', share.owners, 0, 0)[1]
          if not coldest then break end
          forget(share, coldest)
        end
        if share.grown ~= 0 then redis.call('HINCRBY', sizes, name, share.grown) end
      end
    end
  end
end
