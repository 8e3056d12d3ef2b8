-- Removes from a label's index the entries of records that are gone or do not
-- bear the label. Unreadable records keep their entries.
-- KEYS: the label's index, the records.
-- ARGV: 1 the label's name; 2 the prefix of the members; then the ids.
-- Returns the numbers of the unreadable ones, from 0, with spaces between them.
local unreadable = {}
for k = 2, #KEYS do
  local h, why, _, _, _, t = head(KEYS[k])
  if type(why) == 'table' then return why end
  if (t and t[ARGV[1]] ~= ARGV[2]) or (not h and why == 'n') then
    call('ZREM', KEYS[1], ARGV[2] .. ARGV[k + 1])
  elseif not h then
    unreadable[#unreadable + 1] = tostring(k - 2)
  end
end
return table.concat(unreadable, ' ')
