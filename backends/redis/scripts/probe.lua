-- Tries what the other scripts rest on, on keys that it removes again.
-- KEYS: three keys that do not exist. Returns o, or what the server does otherwise.
local call, a, b, c = redis.call, KEYS[1], KEYS[2], KEYS[3]
call('UNLINK', a, b, c) -- before a key is made, so that none is left for want of a permission
local bad
local function want(what, got, right)
  if not bad and got ~= right then bad = what end
end
local function all(list) return table.concat(list, ' ') end
local function try()
  for _, m in ipairs({'\255!', 'b', 'a\0', '\195\164', 'a'}) do call('ZADD', a, '0', m) end
  want('ZRANGEBYLEX in the order of bytes', all(call('ZRANGEBYLEX', a, '-', '(\255')), 'a a\0 b \195\164')
  want('ZRANGEBYLEX after a member', all(call('ZRANGEBYLEX', a, '(a\0', '+', 'LIMIT', '0', '2')), 'b \195\164')
  want('ZLEXCOUNT', call('ZLEXCOUNT', a, '[a', '[b'), 3)
  want('ZADD NX', call('ZADD', a, 'NX', '1', 'b'), 0)
  want('ZREM', call('ZREM', a, 'b'), 1)
  call('UNLINK', a)
  call('ZADD', a, '-inf', 'm')
  call('ZADD', a, '+inf', 'n')
  call('ZADD', a, '000000000000005', 'o')
  want('ZCOUNT with -inf', call('ZCOUNT', a, '(-inf', '5'), 1)
  want('ZCOUNT with +inf', call('ZCOUNT', a, '(5', '+inf'), 1)
  want('ZSCORE of +inf', call('ZSCORE', a, 'n'), 'inf')
  want('ZRANGEBYSCORE', all(call('ZRANGEBYSCORE', a, '(-inf', '+inf')), 'o n')
  want('ZRANGE by rank', all(call('ZRANGE', a, '0', '1')), 'm o')
  call('SET', b, 'abcdef', 'PX', '60000', 'NX')
  want('SET NX', call('SET', b, 'x', 'PX', '60000', 'NX'), false)
  call('SETRANGE', b, '2', 'XY')
  want('SETRANGE', call('GETRANGE', b, '1', '4'), 'bXYe')
  want('STRLEN', call('STRLEN', b), 6)
  call('SET', b, 'z', 'KEEPTTL')
  want('SET KEEPTTL', call('PTTL', b) > 0, true)
  want('RENAMENX', call('RENAMENX', b, c), 1)
  want('EXISTS', call('EXISTS', b), 0)
  want('a TTL that moves with its key', call('PTTL', c) > 0, true)
  call('PERSIST', c)
  want('PERSIST', call('PTTL', c), -1)
  call('PEXPIRE', c, '60000')
  want('PEXPIRE', call('PTTL', c) > 0, true)
  want('pcall', type(redis.pcall('ZADD', c, '0', 'm').err), 'string')
end
-- A command that the server refuses ends the trial, and no key is left.
local ran, why = pcall(try)
call('UNLINK', a, b, c)
if not ran then return type(why) == 'table' and why or redis.error_reply(why) end
return bad or 'o'
