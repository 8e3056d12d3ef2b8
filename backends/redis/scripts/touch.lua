-- Changes the expiry of a live record. It does not write a long value again.
-- KEYS: the record, the index by expiry.
-- ARGV: 1 mode (s set, e extend, c clear); 2 expiry, 15 digits; 3 how long the
--   server keeps the record, in ms, or empty; 4 the revision to match, or empty;
--   5 now.
-- Returns o, the expiry in force and the head; n not found; c conflict; x corrupt;
--   l nothing was done, because 5 was empty: the caller had left.
local key, due = KEYS[1], KEYS[2]
if ARGV[5] == '' then return 'l' end -- the caller has left
local h, exp, text = start, expires, headEnd
if not atMostOne then
  local _
  h, exp, _, text = head(key, false, start)
end
if not h then
  if type(exp) == 'table' then return exp end
  return exp == 'n' and 'n' or 'x' .. exp
end
if exp ~= 0 and exp <= tonumber(ARGV[5]) then return 'n' end
if ARGV[4] ~= '' and sub(h, 3, 18) ~= ARGV[4] then return 'c' end
local digits = ARGV[2]
local old = atMostOne and stored or sub(h, 19, 33)
if ARGV[1] == 'e' and (exp == 0 or tonumber(digits) <= exp) then digits = old end
if digits ~= old then
  local never = digits == '000000000000000'
  call('ZADD', due, never and '+inf' or digits, sub(key, #due + 2))
  if atMostOne and #start < 256 then -- the whole record: one command instead of two
    h = sub(h, 1, 18) .. digits .. sub(h, 34)
    if ARGV[3] == '' then call('SET', key, h) else call('SET', key, h, 'PX', ARGV[3]) end
  else
    call('SETRANGE', key, '18', digits)
    if ARGV[3] == '' then call('PERSIST', key) else call('PEXPIRE', key, ARGV[3]) end
  end
end
return 'o' .. digits .. sub(h, 1, text)
