-- Removes due records with their index entries, and the index entries of records
-- that the server's TTL has removed.
-- KEYS: the index by expiry, the index by id, one for each label, the records.
-- ARGV: 1 the time in ms up to which records are due, or empty to remove all,
--   unreadable ones included; 2 number of label keys; then for each record its id
--   and its expected revision: empty for any, - for a record that must be gone.
-- Returns the number removed. If a record has labels without keys, a space and
--   its labels section follow.
local due, ids, last = KEYS[1], KEYS[2], 2 + ARGV[2]
local all = ARGV[1] == ''
local before = tonumber(ARGV[1])
local prefix = sub(due, 1, -2) .. 'l:'
local removed, lacking = 0, nil

local function scored(id)
  local score = call('ZSCORE', due, id)
  return score and score ~= 'inf' and tonumber(score) <= before
end

local function remove(key, id, section, reaped)
  local t = section and labels(section) or {}
  if undeclared(t, prefix, 3, last) then
    lacking = section
    return
  end
  if not reaped then call('UNLINK', key) end
  if all then
    call('ZREMRANGEBYLEX', ids, '[' .. id .. '\0', '(' .. id .. '\1')
  elseif section then
    call('ZREM', ids, id .. '\0' .. section)
  end
  for name, value in pairs(t) do call('ZREM', prefix .. name, value .. id) end
  removed = removed + call('ZREM', due, id)
end

for k = last + 1, #KEYS do
  local key, at = KEYS[k], 1 + 2 * (k - last)
  local id, rev = ARGV[at], ARGV[at + 1]
  local h, exp, section = head(key)
  if type(exp) == 'table' then return exp end
  if all then
    remove(key, id, h and section or indexed(ids, id), false)
  elseif h and exp ~= 0 and exp <= before and (rev == '' or rev == sub(h, 3, 18)) then
    remove(key, id, section, false)
  elseif exp == 'n' and scored(id) then
    remove(key, id, indexed(ids, id), true)
  end
end
return removed .. (lacking and ' ' .. lacking or '')
