-- Removes a live record with its index entries.
-- KEYS: the record, the index by expiry, the index by id, one for each label.
-- ARGV: 1 the revision to match, or empty; 2 now.
-- Returns o: done; n not found; c conflict; x corrupt; k as in write;
--   l nothing was done, because 2 was empty: the caller had left.
local h, exp, old, _, _, bore = head(key, false, start)
if not h then
  if type(exp) == 'table' then return exp end
  return exp == 'n' and 'n' or 'x' .. exp
end
if exp ~= 0 and exp <= tonumber(ARGV[2]) then return 'n' end
if ARGV[1] ~= '' and sub(h, 3, 18) ~= ARGV[1] then return 'c' end
local was, prefix
if old ~= '' then
  prefix = sub(due, 1, -2) .. 'l:'
  was = bore
  if undeclared(was, prefix, 4, #KEYS) then return 'k' .. old end
end
call('UNLINK', key)
redis.pcall('ZREM', due, id)
redis.pcall('ZREM', ids, id .. '\0' .. old)
if was then
  for name, value in pairs(was) do redis.pcall('ZREM', prefix .. name, value .. id) end
end
return 'o'
