-- Puts the mark into the indexes that a rebuild has completed, if they still have
-- its draft: the server has lost nothing of them since.
-- KEYS: indexes of a bucket. ARGV: 1 the mark; 2 the draft; 3 is 1 if the first index
--   is whole and the entries of the others come from it.
-- Returns how many indexes were lost again.
local lost, first = 0, 1 + ARGV[3]
if first == 2 then
  local held = call('ZSCORE', KEYS[1], ARGV[2]) and call('ZSCORE', KEYS[1], ARGV[1])
  call('ZREM', KEYS[1], ARGV[2])
  if not held then return tostring(#KEYS) end
end
for k = first, #KEYS do
  local score = call('ZSCORE', KEYS[k], ARGV[2])
  if score then
    call('ZADD', KEYS[k], score, ARGV[1])
    call('ZREM', KEYS[k], ARGV[2])
  elseif not call('ZSCORE', KEYS[k], ARGV[1]) then
    lost = lost + 1
  end
end
return tostring(lost)
