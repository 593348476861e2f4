-- needs: common drain
-- What became of one try to send a message. ARGV: 3 channel, 4 id, 5 name, 6 state, 7 error, 8 when to try again (ms,
-- or empty).
local key, name = P .. 'told:' .. ARGV[4], ARGV[5]
local member = ARGV[4] .. ' ' .. name
call('HDEL', key, 'f:' .. ARGV[3])
local field = call('HMGET', key, 's:' .. name, 'n:' .. name, 'm:' .. name)
if not field[1] or not field[3] then
  call('ZREM', P .. 'outbox:' .. ARGV[3], member)
  return 0
end
local state = cjson.decode(field[1])
state.state, state.error, state.attempts = ARGV[6], ARGV[7], tonumber(field[2] or '0')
if ARGV[6] == 'waiting' then
  call('ZADD', P .. 'outbox:' .. ARGV[3], ARGV[8], member)
else
  state.at = NOW / 1000
  call('ZREM', P .. 'outbox:' .. ARGV[3], member)
  call('HDEL', key, 'm:' .. name, 'n:' .. name)
end
call('HSET', key, 's:' .. name, cjson.encode(state))
return 1
