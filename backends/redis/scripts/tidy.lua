-- Removes index entries that stand for nothing: those of a label for records that do
-- not bear it, or are gone and not in the index by id, and those of records that are
-- gone and would never expire. Sweeps remove the entries of other records that are
-- gone.
-- KEYS: the index, the index by expiry, the index by id, the records.
-- ARGV: 1 the label's name, or empty for the index by expiry; then the entries.
-- Returns how many entries were removed.
local index, due, ids, name = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local removed = 0
for k = 4, #KEYS do
  local entry, id = ARGV[k - 2], idOf(KEYS[k], due)
  local h, why, section = head(KEYS[k])
  if type(why) == 'table' then return why end
  local gone = not h and why == 'n'
  if name == '' then
    if gone and call('ZSCORE', due, id) == 'inf' then
      removed = removed + call('ZREM', due, id)
      call('ZREMRANGEBYLEX', ids, '[' .. id .. '\0', '(' .. id .. '\1')
    end
  elseif h or gone then
    if gone then section = indexed(ids, id) end
    local t = section and labels(section)
    if (gone or t) and not (t and t[name] and t[name] .. id == entry) then
      removed = removed + call('ZREM', index, entry)
    end
  end
end
return tostring(removed)
