-- Stores a record if its condition holds. Behind create.lua and head.lua.
-- KEYS: the record, the index by expiry, the index by id, one for each label;
--   with s, at the end, where the record is staged.
-- ARGV: 1 condition (a always, c absent, l live, m match), e to keep the expiry
--   or -, b to keep the labels or -, s if the record is staged or -, the
--   revision to match; 2 now; 3 how long the server shall keep it, in ms, or
--   empty; 4 the record. Where something is kept, the record has a guess in its
--   place; with 5, 4 ends before the encoding and 5 is the rest. With s, 4 ends
--   before the value and 5 is the length of the whole record; a guess of kept
--   labels may then be of their length alone.
-- Returns o: done, with expiry and labels section where a guess was wrong;
--   e exists; n not found; c conflict, with the winner; h the same, with the
--   winner's head alone; x corrupt, and why; k labels without a key, with the
--   section that names them; s nothing is staged.

-- no is the way out without a write.
local function no(reply)
  if staged then call('UNLINK', staged) end
  return reply
end

local h, exp, old, text, size = head(key, cond == ALWAYS)
local known = h ~= nil -- that the indexes hold the id
if h then
  local live = exp == 0 or exp > tonumber(ARGV[2])
  if cond == ABSENT then
    if live then return no('e') end
  elseif cond ~= ALWAYS then
    if not live then return no('n') end
    if cond == MATCH and sub(h, 3, 18) ~= sub(ARGV[1], 5) then
      if #h >= size then return no('c' .. h) end
      if size <= 65536 then return no('c' .. call('GET', key)) end
      return no('h' .. sub(h, 1, text))
    end
  end
else
  if type(exp) == 'table' then return no(exp) end
  if cond ~= ALWAYS then
    if exp ~= 'n' then return no('x' .. exp) end
    if cond ~= ABSENT then return no('n') end
  end
  if exp ~= 'n' or call('ZSCORE', due, id) then
    old = indexed(ids, id)
    known = old ~= nil
  end
end

-- What is kept, in its place.
local was = h and sub(h, 19, 33)
local rest = not staged and ARGV[5]
local moved, other -- that the guess of the expiry or of the labels was wrong
if keepExpiry == E and digits ~= was then
  digits, score, moved = was, was == '000000000000000' and '+inf' or was, true
end
if keepLabels == B and new ~= old then new, other = old, true end

-- Labels that change, before anything is written: what was and what will be.
local wore, wears, prefix
if old ~= new and (old or new ~= '') then
  prefix = sub(due, 1, -2) .. 'l:'
  wears = labels(new)
  if old and old ~= '' then
    wore = labels(old)
    if not wore then return no('xf') end
    if undeclared(wore, prefix, 4, #KEYS) then return no('k' .. old) end
  end
end

-- New index entries first, those of labels before the others, then the record,
-- then the old entries: should a step fail for a foreign key among the indexes,
-- no record has changed, and what was added are strays that listings prune.
if wears then
  for name, value in pairs(wears) do
    if not (wore and wore[name] == value) then call('ZADD', prefix .. name, '0', value .. id) end
  end
end
if not known or old ~= new then
  call('ZADD', ids, '0', id .. '\0' .. new)
end
if not known or was ~= digits then
  call('ZADD', due, score, id)
end
if other or rest then
  local n = #new
  local front = sub(record, 1, 18) .. digits .. sub(record, 34, 37) .. string.char(math.floor(n / 256), n % 256) .. new
  local tail = rest or sub(record, 40 + l1 * 256 + l2)
  if staged and n == l1 * 256 + l2 then
    call('SETRANGE', staged, '0', front) -- the place that was left for the labels fits
  elseif staged then
    -- Built in place, in the size that it has, without another copy here.
    local value = call('GETRANGE', staged, tostring(#record), '-1')
    front = front .. tail
    call('UNLINK', staged)
    call('SETRANGE', staged, tostring(#front), value)
    call('SETRANGE', staged, '0', front)
  else
    record = front .. tail
  end
elseif moved then
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
  if wore then
    for name, value in pairs(wore) do
      if wears[name] ~= value then redis.pcall('ZREM', prefix .. name, value .. id) end
    end
  end
end
return (moved or other or rest) and 'o' .. digits .. new or 'o'
