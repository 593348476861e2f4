-- needs: common drain remediation
-- Take open incidents whose wait is over. ARGV: 3 limit. Each waits on until it is dispatched again: a dispatcher
-- that dies with it loses nothing.
local found = {}
for _, alert in ipairs(call('ZRANGEBYSCORE', P .. 'waiting', '-inf', text(NOW), 'LIMIT', 0, ARGV[3])) do
  local field = call('HMGET', P .. 'inc:' .. alert, 'open', 't')
  if field[1] == '1' and field[2] then
    call('HSET', P .. 'inc:' .. alert, 'again', '1')
    call('ZADD', P .. 'waiting', text(NOW + PACE_MS), alert)
    found[#found + 1] = field[2]
  else
    clear_wait(alert)
  end
end
return found
