-- The start of all scripts. A function that is made costs time in each run, so the
-- common cases come before the helpers, and without them.
-- Numbers that go to the server are strings: it formats others slowly.
local byte, sub, call = string.byte, string.sub, redis.call
