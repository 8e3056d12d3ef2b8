-- Writes the index entries of records. What the server's TTL removed becomes due,
-- so that a sweep removes its entries.
-- KEYS: the index by expiry, the index by id, one for each label, the records.
-- ARGV: 1 number of label keys.
-- Returns how many of the records it has looked at, which may be fewer than all,
--   a space, and a labels section that has labels without keys, if there is one.
local due, ids, last = KEYS[1], KEYS[2], 2 + ARGV[1]
local prefix = sub(due, 1, -2) .. 'l:'
local left, lacking, k = 600, '', last
while k < #KEYS and left > 0 do
  k = k + 1
  left = left - 6
  local key = KEYS[k]
  local id = idOf(key, due)
  local h, exp, section = head(key)
  if type(exp) == 'table' then return exp end
  local score
  if h then
    score = exp == 0 and '+inf' or sub(h, 19, 33)
  else
    section = indexed(ids, id)
    if exp ~= 'n' then section = section or '' end -- unreadable: listings name it
    score = section and (call('ZSCORE', due, id) or exp == 'n' and '0' or '+inf')
  end
  if score then
    local t = labels(section) or {}
    if undeclared(t, prefix, 3, last) then
      lacking = section
    else
      call('ZADD', due, score, id)
      call('ZADD', ids, '0', id .. '\0' .. section)
      for name, value in pairs(t) do
        call('ZADD', prefix .. name, '0', value .. id)
        left = left - 1
      end
    end
  end
end
return k - last .. ' ' .. lacking
