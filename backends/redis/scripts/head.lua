-- The start of every other script: it reads a record and its labels.

-- precedes compares the bytes of two names: the server's locale orders texts.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- labels decodes a labels section. The table maps each name to the prefix of
-- index members: the length of the value, and the value. It is nil for other bytes.
-- The record's codec refuses the same ones. Length 0 stands for the name principal.
local function labels(s)
  local t, i, n, before = {}, 1, #s, nil
  while i <= n do
    local long = byte(s, i)
    local a, b = byte(s, i + 1 + long, i + 2 + long)
    if not b then return nil end
    local last = i + 2 + long + a * 256 + b
    local name = long == 0 and 'principal' or sub(s, i + 1, i + long)
    if last > n or long == 9 and name == 'principal' or before and not precedes(before, name) then return nil end
    before = name
    t[name] = sub(s, i + 1 + long, last)
    i = last + 1
  end
  if i ~= n + 1 then return nil end
  return t
end

-- head reads the head of the record at key. It returns the bytes before the
-- value (of a small record all bytes), the expiry in milliseconds (0: never),
-- the labels section, the length of the head, the length of the record, and the
-- labels.
-- For an unreadable record it returns nil and the reason: 'n' nothing is stored,
-- 't' another type, 'v' a newer format, 'f' not a complete record, or the
-- server's error. With overwrites, a long record may be incomplete. Start is what
-- GETRANGE said of the first 256 bytes, if a script has it.
local function head(key, overwrites, start)
  local h = start or redis.pcall('GETRANGE', key, '0', '255')
  local n = #h
  if n == 0 then
    if type(h) == 'table' then
      if sub(h.err, 1, 9) == 'WRONGTYPE' then return nil, 't' end
      return nil, h
    end
    if call('EXISTS', key) == 0 then return nil, 'n' end
    return nil, 'f'
  end
  local m, version = byte(h, 1, 2)
  if m ~= 83 then return nil, 'f' end
  if version ~= 1 then return nil, version and 'v' or 'f' end
  if n < 40 then return nil, 'f' end
  local digits = sub(h, 19, 33)
  local expiry = not string.find(digits, '%D') and tonumber(digits)
  if not expiry then return nil, 'f' end
  local v1, v2, v3, v4, l1, l2 = byte(h, 34, 39)
  local last = 39 + l1 * 256 + l2
  if last >= 256 and n == 256 then
    h = call('GETRANGE', key, '0', tostring(last))
  end
  local encoding = byte(h, last + 1)
  if not encoding then return nil, 'f' end
  local text = last + 1 + encoding
  local size = text + ((v1 * 256 + v2) * 256 + v3) * 256 + v4
  if n == 256 and not overwrites then n = call('STRLEN', key) end
  if n ~= size and not (overwrites and n == 256) then return nil, 'f' end
  if #h < text then h = call('GETRANGE', key, '0', tostring(text - 1)) end
  local section = sub(h, 40, last)
  local bears = labels(section)
  if not bears then return nil, 'f' end
  return h, expiry, section, text, size, bears
end

-- idOf returns the id in the record's key, which has the same prefix as due.
local function idOf(key, due) return sub(key, #due + 2) end

-- indexed returns the labels section that the index by id has for an id whose
-- record is gone or unreadable. It returns nil for an id without an entry, and
-- if another program made the index.
local function indexed(ids, id)
  local m = redis.pcall('ZRANGEBYLEX', ids, '[' .. id .. '\0', '(' .. id .. '\1', 'LIMIT', '0', '1')[1]
  return m and sub(m, #id + 2)
end

-- undeclared reports whether a label of the table has no key among KEYS[first]
-- to KEYS[last]. The caller must then run the script again with that key.
local keys
local function undeclared(t, prefix, first, last)
  if not keys then
    keys = {}
    for k = first, last do keys[KEYS[k]] = true end
  end
  for name in pairs(t) do
    if not keys[prefix .. name] then return true end
  end
  return false
end
