-- Puts the mark into the indexes that a rebuild has completed, if they still have
-- its draft: the server has lost nothing of them since.
-- KEYS: indexes of a bucket. ARGV: 1 the mark; 2 the draft.
-- Returns how many indexes were lost again.
local lost = 0
for k = 1, #KEYS do
  local score = call('ZSCORE', KEYS[k], ARGV[2])
  if score then
    call('ZADD', KEYS[k], score, ARGV[1])
    call('ZREM', KEYS[k], ARGV[2])
  elseif not call('ZSCORE', KEYS[k], ARGV[1]) then
    lost = lost + 1
  end
end
return tostring(lost)
