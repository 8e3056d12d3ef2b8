-- Stores a record if its condition holds.
-- KEYS: the record, the index by expiry, the index by id, one for each label.
-- ARGV: 1 condition (a always, c absent, l live, m match), e to keep the expiry
--   or -, b to keep the labels or -, the revision to match; 2 now; 3 how long
--   the server shall keep it, in ms, or empty; 4 the record. Where something is
--   kept, the record has a guess in its place; with 5, 4 ends before the
--   encoding and 5 is the rest.
-- Returns o: done, with expiry and labels section where one was kept;
--   e exists; n not found; c conflict, with the winner; h the same, with the
--   winner's head alone; x corrupt, and why; k labels without a key, with the
--   section that names them.
local key, due, ids, record = KEYS[1], KEYS[2], KEYS[3], ARGV[4]
local id = idOf(key, due)
local cond, keepExpiry, keepLabels = byte(ARGV[1], 1, 3)
local ALWAYS, ABSENT, MATCH, E, B = 97, 99, 109, 101, 98
local NEVER = '000000000000000'
local digits = sub(record, 19, 33)
local l1, l2 = byte(record, 38, 39)
local new = sub(record, 40, 39 + l1 * 256 + l2)

-- The common create: nothing is there and the indexes do not know the id.
if cond == ABSENT and not call('ZSCORE', due, id) then
  local done
  if ARGV[3] ~= '' then
    done = call('SET', key, record, 'PX', ARGV[3], 'NX')
  else
    done = call('SET', key, record, 'NX')
  end
  if done then
    local failed
    local i, n = 1, #new
    while i < n and type(failed) ~= 'table' do
      local name = byte(new, i)
      local a, b = byte(new, i + 1 + name, i + 2 + name)
      local last = i + 2 + name + a * 256 + b
      failed = redis.pcall('ZADD', sub(due, 1, -2) .. 'l:' .. sub(new, i + 1, i + name), '0',
        sub(new, i + 1 + name, last) .. id)
      i = last + 1
    end
    if type(failed) ~= 'table' then failed = redis.pcall('ZADD', ids, '0', id .. '\0' .. new) end
    if type(failed) ~= 'table' then failed = redis.pcall('ZADD', due, digits == NEVER and '+inf' or digits, id) end
    if type(failed) ~= 'table' then return 'o' end
    call('UNLINK', key) -- an index key is foreign: nothing shall be there
    return failed
  end
end

local h, exp, old, text, size = head(key, cond == ALWAYS)
local known = h ~= nil -- that the indexes hold the id
if h then
  local live = exp == 0 or exp > tonumber(ARGV[2])
  if cond == ABSENT then
    if live then return 'e' end
  elseif cond ~= ALWAYS then
    if not live then return 'n' end
    if cond == MATCH and sub(h, 3, 18) ~= sub(ARGV[1], 4) then
      if #h >= size then return 'c' .. h end
      if size <= 65536 then return 'c' .. call('GET', key) end
      return 'h' .. sub(h, 1, text)
    end
  end
else
  if type(exp) == 'table' then return exp end
  if cond ~= ALWAYS then
    if exp ~= 'n' then return 'x' .. exp end
    if cond ~= ABSENT then return 'n' end
  end
  if exp ~= 'n' or call('ZSCORE', due, id) then
    old = indexed(ids, id)
    known = old ~= nil
  end
end

-- What is kept, in its place.
local was = h and sub(h, 19, 33)
local kept = keepExpiry == E or keepLabels == B
if kept then
  local guess, cut = digits, #new
  if keepExpiry == E then digits = was end
  if keepLabels == B then new = old end
  if ARGV[5] or new ~= sub(record, 40, 39 + cut) then
    local n = #new
    record = sub(record, 1, 18) .. digits .. sub(record, 34, 37) ..
      string.char(math.floor(n / 256), n % 256) .. new .. (ARGV[5] or sub(record, 40 + cut))
  elseif guess ~= digits then
    record = sub(record, 1, 18) .. digits .. sub(record, 34)
  end
end

-- Labels that change, before anything is written: what was and what will be.
local wore, wears, prefix
if old ~= new and (old or new ~= '') then
  prefix = sub(due, 1, -2) .. 'l:'
  wears = labels(new)
  if old and old ~= '' then
    wore = labels(old)
    if not wore then return 'xf' end
    if undeclared(wore, prefix, 4, #KEYS) then return 'k' .. old end
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
  call('ZADD', due, digits == NEVER and '+inf' or digits, id)
end
if keepExpiry == E then
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
return kept and 'o' .. digits .. new or 'o'
