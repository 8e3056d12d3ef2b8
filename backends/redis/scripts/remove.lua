-- The start of delete.lua: a usual record, before the helpers are made.
local key, due, ids = KEYS[1], KEYS[2], KEYS[3]
local id = sub(key, #due + 2)
if ARGV[2] == '' then return 'l' end -- the caller has left
if atMostOne then
  if expires ~= 0 and expires <= tonumber(ARGV[2]) then return 'n' end
  if ARGV[1] ~= '' and sub(start, 3, 18) ~= ARGV[1] then return 'c' end
  local index = labelled and sub(due, 1, -2) .. 'l:' .. (nameLength == 0 and 'principal' or sub(start, 41, 40 + nameLength))
  if not index or KEYS[4] == index then
    call('UNLINK', key)
    redis.pcall('ZREM', due, id)
    redis.pcall('ZREM', ids, id .. '\0' .. sub(start, 40, labelsEnd))
    if index then redis.pcall('ZREM', index, sub(start, 41 + nameLength, labelsEnd) .. id) end
    return 'o'
  end
end
