-- Adds actions to owners, see owners.lua.
-- The last of ARGV: all events, packed: id, time, weight (doubles), document and query (16 bits of length, then bytes),
-- number of pairs (16 bits), per pair: partition (16 bits, which of KEYS), kind (a letter), owner (8 bytes). The target
-- of a prefix is the query, of all others the document. An event's id is entered in the partition of its first pair.
local events, pos, PAIR_BYTES = ARGV[at], 1, 11
while pos <= #events do
  local id, time, weight, document, query, count
  id, time, weight, document, query, count, pos = struct.unpack('<dddHc0Hc0H', events, pos)
  if seen_first(KEYS[struct.unpack('<H', events, pos)], id, sets, ids_max) then
    for at_pair = pos, pos + (count - 1) * PAIR_BYTES, PAIR_BYTES do
      local partition, letter, owner = struct.unpack('<Hc1c8', events, at_pair)
      local actions = actions_of(letter, partition, owner)
      local n = #actions
      actions[n + 1], actions[n + 2], actions[n + 3] = letter == 'p' and query or document, time, weight
    end
  end
  pos = pos + count * PAIR_BYTES
end

apply()
return 1
