-- Reads a record without its value.
-- KEYS: the record. ARGV: 1 now.
-- Returns o and the head; n not found; x corrupt.
local h, exp, _, text = head(KEYS[1])
if not h then
  if type(exp) == 'table' then return exp end
  return exp == 'n' and 'n' or 'x' .. exp
end
if exp ~= 0 and exp <= tonumber(ARGV[1]) then return 'n' end
return 'o' .. sub(h, 1, text)
