-- Reads the record at KEYS[1] without the helpers, if it is a usual one: complete,
-- and its head is among the first 256 bytes. Then usual is true, and there are its
-- expiry in milliseconds (0: never) and the digits of it, where the labels section
-- ends, and where the head does. The labels themselves are not looked at.
local start = redis.pcall('GETRANGE', KEYS[1], '0', '255') -- a table is an error
local usual, expires, stored, labelsEnd, headEnd = false, nil, nil, nil, nil
if #start >= 40 then
  local magic, version = byte(start, 1, 2)
  local v1, v2, v3, v4, a, b = byte(start, 34, 39)
  labelsEnd = 39 + a * 256 + b
  local encoding = byte(start, labelsEnd + 1)
  if magic == 83 and version == 1 and encoding then
    headEnd = labelsEnd + 1 + encoding
    local n = #start
    if n == 256 then n = call('STRLEN', KEYS[1]) end
    if headEnd <= 256 and n == headEnd + ((v1 * 256 + v2) * 256 + v3) * 256 + v4 then
      stored = sub(start, 19, 33)
      expires = not string.find(stored, '%D') and tonumber(stored)
      usual = expires ~= false
    end
  end
end

-- A section with one label, or none, is well-formed if its lengths add up.
-- Length 0 stands for the name principal.
local labelled, nameLength = false, nil
if usual and labelsEnd > 39 then
  nameLength = byte(start, 40)
  local a, b = byte(start, 41 + nameLength, 42 + nameLength)
  labelled = b and 42 + nameLength + a * 256 + b == labelsEnd and (nameLength ~= 9 or sub(start, 41, 49) ~= 'principal')
end
local atMostOne = labelled or usual and labelsEnd == 39
