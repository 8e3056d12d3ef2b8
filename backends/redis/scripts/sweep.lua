-- Removes due records with their index entries, and the index entries of records
-- that the server's TTL has removed.
-- KEYS: the index by expiry, the index by id, one for each label, the records.
-- ARGV: 1 the time in ms up to which records are due, or empty to remove all,
--   unreadable ones included; 2 number of label keys; 3 about how many commands
--   to carry out; then for each record its id and its expected revision: empty
--   for any, - for a record that must be gone.
-- Returns the number of records removed, of those looked at, which may be fewer
--   than all, and of keys that another program made, which stay, with spaces
--   between them. If a record has labels without keys, its labels section follows.
local due, ids, last = KEYS[1], KEYS[2], 2 + ARGV[2]
local all = ARGV[1] == ''
local before = tonumber(ARGV[1])
local left = tonumber(ARGV[3])
local prefix = sub(due, 1, -2) .. 'l:'
local removed, foreign, lacking = 0, 0, nil
local try = all and redis.pcall or call -- indexes that another program made stay

local function scored(id)
  local score = call('ZSCORE', due, id)
  return score and score ~= 'inf' and tonumber(score) <= before
end

local function remove(key, id, section, keeps)
  local t = section and labels(section) or {}
  if undeclared(t, prefix, 3, last) then
    lacking = section
    return
  end
  if not keeps then call('UNLINK', key) end
  if all then
    try('ZREMRANGEBYLEX', ids, '[' .. id .. '\0', '(' .. id .. '\1')
  elseif section then
    call('ZREM', ids, id .. '\0' .. section)
  end
  for name, value in pairs(t) do
    try('ZREM', prefix .. name, value .. id)
    left = left - 1
  end
  local gone = try('ZREM', due, id)
  if gone == 1 then removed = removed + 1 end
end

-- theirs reports whether another program made what is stored and unreadable: a
-- record begins with its letter and a format version.
local function theirs(key, why)
  if why == 't' then return true end
  local letter, version = byte(call('GETRANGE', key, '0', '1'), 1, 2)
  return letter ~= 83 or not version or version > 31
end

local k = last
while k < #KEYS and left > 0 do
  k = k + 1
  left = left - 5
  local key, at = KEYS[k], 2 + 2 * (k - last)
  local id, rev = ARGV[at], ARGV[at + 1]
  local h, exp, section = head(key)
  if type(exp) == 'table' then return exp end
  if all then
    local keeps = not h and exp ~= 'n' and theirs(key, exp)
    if keeps then foreign = foreign + 1 end
    remove(key, id, h and section or indexed(ids, id), keeps)
  elseif h and exp ~= 0 and exp <= before and (rev == '' or rev == sub(h, 3, 18)) then
    remove(key, id, section, false)
  elseif exp == 'n' and scored(id) then
    remove(key, id, indexed(ids, id), true)
  end
end
return removed .. ' ' .. k - last .. ' ' .. foreign .. ' ' .. (lacking or '')
