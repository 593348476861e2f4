-- needs: common drain
-- Hand out messages of a channel. ARGV: 3 channel, 4 how long until each comes again (ms), 5 limit.
local out = P .. 'outbox:' .. ARGV[3]
local found = {}
for _, member in ipairs(call('ZRANGEBYSCORE', out, '-inf', text(NOW), 'LIMIT', 0, ARGV[5])) do
  local id, name = string.match(member, '^(%S+) (.+)$')
  local key = P .. 'told:' .. id
  local field = call('HMGET', key, 'm:' .. name, 's:' .. name)
  if field[1] and field[2] then
    call('ZADD', out, text(NOW + tonumber(ARGV[4])), member)
    local attempts = call('HINCRBY', key, 'n:' .. name, 1)
    found[#found + 1] = {id, name, field[1], text(attempts), field[2]}
  else
    call('ZREM', out, member)
  end
end
return found
