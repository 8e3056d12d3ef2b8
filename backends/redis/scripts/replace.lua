-- The common replacement, before the helpers are made: no label changes.
if usual and cond ~= ABSENT and not staged then
  local section = sub(start, 40, labelsEnd)
  local same = section == new
  local passes = same or keepLabels == B and atMostOne
  if passes and cond ~= ANY then
    passes = (expires == 0 or expires > tonumber(ARGV[2])) and (cond ~= MATCH or sub(start, 3, 18) == sub(ARGV[1], 5, 20))
    local at, n, encoding = 21, #ARGV[1], sub(start, labelsEnd + 1, headEnd)
    local replaces = n < at
    while passes and not replaces and at <= n do
      local last = at + byte(ARGV[1], at)
      replaces = sub(ARGV[1], at, last) == encoding
      at = last + 1
    end
    passes = passes and replaces
  end
  if passes then
    local rest, moves = ARGV[5], digits ~= stored
    if keepExpiry == E and moves or not same or rest then
      local last = keepExpiry == E and stored or digits
      record = sub(record, 1, 18) .. last .. sub(record, 34, 37) .. sub(start, 38, labelsEnd) .. (rest or sub(record, 40 + #new))
    end
    if keepExpiry == E then
      call('SET', key, record, 'KEEPTTL')
    else
      local added = moves and redis.pcall('ZADD', due, score, id)
      if type(added) == 'table' then return added end -- another program's key
      if ARGV[3] ~= '' then call('SET', key, record, 'PX', ARGV[3]) else call('SET', key, record) end
    end
    if keepExpiry == E and moves or not same or rest then
      return 'o' .. (keepExpiry == E and stored or digits) .. section
    end
    return 'o'
  end
end
