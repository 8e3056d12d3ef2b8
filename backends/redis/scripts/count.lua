-- Counts the live records that bear a label, by the indexes alone: the entries
-- of the label without the expired ones. It visits the entries of the label or
-- the expired entries, whichever are fewer.
-- KEYS: the label's index, the index by expiry.
-- ARGV: 1 the prefix of its members; 2 now.
local members, due, value = KEYS[1], KEYS[2], ARGV[1]
local from, to = '[' .. value, '(' .. value .. '\255'
local n = call('ZLEXCOUNT', members, from, to)
if n == 0 then return 0 end
local expired = call('ZCOUNT', due, '-inf', ARGV[2])
if expired == 0 then return n end
if expired < n then
  for _, id in ipairs(call('ZRANGEBYSCORE', due, '-inf', ARGV[2])) do
    if call('ZSCORE', members, value .. id) then n = n - 1 end
  end
  return n
end
local now = tonumber(ARGV[2])
n = 0
for _, m in ipairs(call('ZRANGEBYLEX', members, from, to)) do
  local score = call('ZSCORE', due, sub(m, #value + 1))
  if score and (score == 'inf' or tonumber(score) > now) then n = n + 1 end
end
return n
