-- Stores a record if its condition holds. It follows create.lua, usual.lua,
-- replace.lua and head.lua.
-- KEYS: the record, the index by expiry, the index by id, one for each label;
--   with s, the staged record at the end.
-- ARGV: 1 condition (a any, c absent, l present, m match), e to keep the expiry
--   or -, b to keep the labels or -, s if the record is staged or -, the
--   revision to match, the encodings that an update replaces, each after its
--   length, or none for any; 2 now; 3 how long the server keeps the record, in ms, or
--   empty; 4 the record. The record has a guess of the fields that are kept.
--   If 5 is given without s, 4 ends before the encoding, and 5 is the rest. With
--   s, 4 ends before the value, and 5 is the length of the whole record. A guess
--   of kept labels may then have only their length.
-- Returns o: done, followed by expiry and labels section if a guess was wrong;
--   e exists; n not found; c conflict and the record that won; h conflict and
--   the head of the record that won; x corrupt and the reason; k labels without
--   a key and the section that names them; r labels of another length than the
--   room that a long staged record has for them, and their section; s nothing is
--   staged; l nothing was done, because 4 or 5 was empty: the caller had left.

-- refuse returns a reply without a write.
local function refuse(reply)
  if staged then call('UNLINK', staged) end
  return reply
end

local h, exp, old, text, size, bore = head(key, cond == ANY, start)
local known = h ~= nil -- the indexes have the id
if h then
  local live = exp == 0 or exp > tonumber(ARGV[2])
  if cond == ABSENT then
    if live then return refuse('e') end
  elseif cond ~= ANY then
    if not live then return refuse('n') end
    if cond == MATCH and sub(h, 3, 18) ~= sub(ARGV[1], 5, 20) then
      if #h >= size then return refuse('c' .. h) end
      if size <= 65536 then return refuse('c' .. call('GET', key)) end
      return refuse('h' .. sub(h, 1, text))
    end
    local at, n, stored = 21, #ARGV[1], sub(h, 40 + #old, text)
    local replaces = n < at
    while not replaces and at <= n do
      local last = at + byte(ARGV[1], at)
      replaces = sub(ARGV[1], at, last) == stored
      at = last + 1
    end
    if not replaces then return refuse('xe') end
  end
else
  if type(exp) == 'table' then return refuse(exp) end
  if cond ~= ANY then
    if exp ~= 'n' then return refuse('x' .. exp) end
    if cond ~= ABSENT then return refuse('n') end
  end
  if exp ~= 'n' or call('ZSCORE', due, id) then
    old = indexed(ids, id)
    known = old ~= nil
  end
end

-- Replace wrong guesses of what is kept.
local oldDigits = h and sub(h, 19, 33)
local rest = not staged and ARGV[5]
local expiryDiffers, labelsDiffer -- from the guess
if keepExpiry == E and digits ~= oldDigits then
  digits, score, expiryDiffers = oldDigits, oldDigits == '000000000000000' and '+inf' or oldDigits, true
end
if keepLabels == B and new ~= old then new, labelsDiffer = old, true end
-- It would have to copy the value, which takes a microsecond or two for each KB.
if labelsDiffer and staged and #new ~= l1 * 256 + l2 and tonumber(ARGV[5]) > 65536 then return refuse('r' .. new) end

-- If the labels change, decode the old and new ones before anything is written. Of
-- a record that is gone, a listing may have removed the entries already.
local oldLabels, newLabels, prefix
if (old ~= new or not h) and (old or new ~= '') then
  prefix = sub(due, 1, -2) .. 'l:'
  newLabels = labels(new)
  if old and old ~= '' then
    oldLabels = h and bore or labels(old)
    if not oldLabels then return refuse('xf') end
    if undeclared(oldLabels, prefix, 4, #KEYS) then return refuse('k' .. old) end
  end
end

-- add writes an index entry. If that fails, because another program's key is in the
-- place of the index, it removes what it has added and returns the error.
local entries = {}
local function add(index, at, member)
  local n = redis.pcall('ZADD', index, at, member)
  if type(n) == 'table' then
    for i = 1, #entries, 2 do redis.pcall('ZREM', entries[i], entries[i + 1]) end
    return n
  end
  if n == 1 then entries[#entries + 1], entries[#entries + 2] = index, member end
end

-- Write the new index entries first, labels before the others, then the record,
-- and remove the old entries last. If an index key has another type and a step
-- fails, nothing has changed.
local failed
if newLabels then
  for name, value in pairs(newLabels) do
    if not failed and not (h and oldLabels and oldLabels[name] == value) then failed = add(prefix .. name, '0', value .. id) end
  end
end
if not failed and (not known or old ~= new) then failed = add(ids, '0', id .. '\0' .. new) end
if not failed and (not known or oldDigits ~= digits) then failed = add(due, score, id) end
if failed then return refuse(failed) end
if labelsDiffer or rest then
  local n = #new
  local start = sub(record, 1, 18) .. digits .. sub(record, 34, 37) .. string.char(math.floor(n / 256), n % 256) .. new
  local tail = rest or sub(record, 40 + l1 * 256 + l2)
  if staged and n == l1 * 256 + l2 then
    call('SETRANGE', staged, '0', start) -- the labels fit into the room left for them
  elseif staged then
    -- Build the record under the key, at its final size, without another copy in Lua.
    local value = call('GETRANGE', staged, tostring(#record), '-1')
    start = start .. tail
    call('UNLINK', staged)
    call('SETRANGE', staged, tostring(#start), value)
    call('SETRANGE', staged, '0', start)
  else
    record = start .. tail
  end
elseif expiryDiffers then
  if staged then
    call('SETRANGE', staged, '18', digits)
  else
    record = sub(record, 1, 18) .. digits .. sub(record, 34)
  end
end
if staged then
  local ttl = ARGV[3]
  if keepExpiry == E then
    local left = call('PTTL', key)
    ttl = left < 0 and '' or string.format('%.0f', left)
  end
  call('RENAME', staged, key)
  if ttl ~= '' then call('PEXPIRE', key, ttl) else call('PERSIST', key) end
elseif keepExpiry == E then
  call('SET', key, record, 'KEEPTTL')
elseif ARGV[3] ~= '' then
  call('SET', key, record, 'PX', ARGV[3])
else
  call('SET', key, record)
end
if old and old ~= new then
  redis.pcall('ZREM', ids, id .. '\0' .. old)
  if oldLabels then
    for name, value in pairs(oldLabels) do
      if newLabels[name] ~= value then redis.pcall('ZREM', prefix .. name, value .. id) end
    end
  end
end
return (expiryDiffers or labelsDiffer or rest) and 'o' .. digits .. new or 'o'
