-- Adds pages that were shown to the queries that they were shown for, see owners.lua; returns how many were new.
-- The last of ARGV: all pages, packed: id, time (doubles), partition (16 bits, which of KEYS), kind (a letter), owner (8
-- bytes), number of documents (16 bits), per document: weight (float), document (16 bits of length, then bytes). A page
-- itself counts as the target without a name. Ids are kept apart from those of events, which they would outnumber.
local pages, pos, new = ARGV[at], 1, 0
while pos <= #pages do
  local id, time, partition, letter, owner, count
  id, time, partition, letter, owner, count, pos = struct.unpack('<ddHc1c8H', pages, pos)
  local actions
  if seen_first(KEYS[partition] .. 'i', id, sets, ids_max) then
    new = new + 1
    actions = actions_of(letter, partition, owner)
    local n = #actions
    actions[n + 1], actions[n + 2], actions[n + 3] = '', time, 1
  end
  for _ = 1, count do
    local weight, document
    weight, document, pos = struct.unpack('<fHc0', pages, pos)
    if actions then
      local n = #actions
      actions[n + 1], actions[n + 2], actions[n + 3] = document, time, weight
    end
  end
end

apply()
return new
