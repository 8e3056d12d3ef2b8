-- The start of write.lua: the common create, before the helpers are made.
local key, due, ids, record = KEYS[1], KEYS[2], KEYS[3], ARGV[4]
if record == '' or ARGV[5] == '' then return 'l' end -- the caller has left
local id = sub(key, #due + 2)
local cond, keepExpiry, keepLabels, how = byte(ARGV[1], 1, 4)
local ANY, ABSENT, MATCH, E, B, S = 97, 99, 109, 101, 98, 115
local digits = sub(record, 19, 33)
local score = digits == '000000000000000' and '+inf' or digits
local l1, l2 = byte(record, 38, 39)
local new = sub(record, 40, 39 + l1 * 256 + l2)

-- The command before this script has staged a long value under a key of its
-- own. In Lua, every string costs a nanosecond a byte.
local staged = how == S and KEYS[#KEYS]
if staged and call('STRLEN', staged) ~= tonumber(ARGV[5]) then return 's' end

if cond == ABSENT then
  local done
  if staged then
    done = call('RENAMENX', staged, key) == 1
    if done then
      if ARGV[3] ~= '' then call('PEXPIRE', key, ARGV[3]) else call('PERSIST', key) end
    end
  elseif ARGV[3] ~= '' then
    done = call('SET', key, record, 'PX', ARGV[3], 'NX')
  else
    done = call('SET', key, record, 'NX')
  end
  if done then
    local added = redis.pcall('ZADD', due, 'NX', score, id) -- a table is an error
    if added == 1 then
      local prefix, i, n = sub(due, 1, -2) .. 'l:', 1, #new
      while i < n and type(added) ~= 'table' do
        local name = byte(new, i)
        local a, b = byte(new, i + 1 + name, i + 2 + name)
        local last = i + 2 + name + a * 256 + b
        added = redis.pcall('ZADD', prefix .. (name == 0 and 'principal' or sub(new, i + 1, i + name)), '0', sub(new, i + 1 + name, last) .. id)
        i = last + 1
      end
      if type(added) ~= 'table' then added = redis.pcall('ZADD', ids, '0', id .. '\0' .. new) end
      if type(added) ~= 'table' then return 'o' end
      -- An index key has another type: undo the create.
      call('ZREM', due, id)
      i = 1
      while i < n do
        local name = byte(new, i)
        local a, b = byte(new, i + 1 + name, i + 2 + name)
        local last = i + 2 + name + a * 256 + b
        redis.pcall('ZREM', prefix .. (name == 0 and 'principal' or sub(new, i + 1, i + name)), sub(new, i + 1 + name, last) .. id)
        i = last + 1
      end
    end
    if type(added) == 'table' then
      call('UNLINK', key)
      return added
    end
    -- The indexes have the id of a record that the server's TTL removed.
    if staged then call('RENAME', key, staged) else call('UNLINK', key) end
  end
end
