-- Adds one to a number that expires by itself, and returns it. The run that
-- reaches the given number removes it.
-- KEYS: the number's key. ARGV: 1 how many runs there are.
local n = tonumber(redis.call('GET', KEYS[1]) or '0') + 1
if n < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], tostring(n), 'PX', '60000')
else
  redis.call('UNLINK', KEYS[1])
end
return n
