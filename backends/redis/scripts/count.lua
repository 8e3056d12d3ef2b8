-- Counts the live records that bear a label, by the indexes alone: the entries
-- of the label without the expired ones. It visits the entries of the label or
-- the expired entries, whichever are fewer, and a limited number in one run: the
-- server serves no other client meanwhile.
-- KEYS: the label's index, the index by expiry.
-- ARGV: 1 the prefix of its members; 2 now; 3 how many entries to visit; 4 what
--   the run goes on with: nothing, e (expired entries), l (entries of the label);
--   then for e the first rank and the number of expired entries, for l the id
--   after which to go on, or nothing.
-- Returns g if an index has no mark: it may lack entries; d and the number of live records; e, the number of expired entries, of
--   those visited that bear the label, and of all that bear it; l, the number of
--   live records among those visited, and the last id; c if the number of expired
--   entries has changed.
local members, due, value, now, step, mode = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local to = '(' .. value .. '\255'

-- bearing counts the expired entries from a rank on that bear the label. They are
-- the first ones of the index after its marks.
local function bearing(first, last)
  local n, marks = 0, call('ZCOUNT', due, '-inf', '-inf')
  first, last = first + marks, last + marks
  for _, id in ipairs(call('ZRANGE', due, tostring(first), tostring(last))) do
    if call('ZSCORE', members, value .. id) then n = n + 1 end
  end
  return n
end

-- living counts the live records among the label's next entries.
local function living(from)
  local n, id = 0, ''
  local all = call('ZRANGEBYLEX', members, from, to, 'LIMIT', '0', ARGV[3])
  for _, m in ipairs(all) do
    id = sub(m, #value + 1)
    local score = call('ZSCORE', due, id)
    if score and (score == 'inf' or tonumber(score) > now) then n = n + 1 end
  end
  return n, #all < step and '' or id
end

if not call('ZSCORE', members, '\255!') or not call('ZSCORE', due, '\255!') then return 'g' end
if mode == 'l' then
  local n, id = living(ARGV[5] == '' and '[' .. value or '(' .. value .. ARGV[5])
  return 'l' .. n .. ' ' .. id
end
local n = call('ZLEXCOUNT', members, '[' .. value, to)
if n == 0 then return 'd0' end
local expired = call('ZCOUNT', due, '(-inf', ARGV[2])
if mode == 'e' then
  if expired ~= tonumber(ARGV[6]) then return 'c' end
  local first = tonumber(ARGV[5])
  return 'e' .. expired .. ' ' .. bearing(first, math.min(first + step, expired) - 1) .. ' ' .. n
end
if expired == 0 then return 'd' .. n end
if expired <= n then
  if expired <= step then return 'd' .. n - bearing(0, expired - 1) end
  return 'e' .. expired .. ' ' .. bearing(0, step - 1) .. ' ' .. n
end
local some, id = living('[' .. value)
if id == '' then return 'd' .. some end
return 'l' .. some .. ' ' .. id
