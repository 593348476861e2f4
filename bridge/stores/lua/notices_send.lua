-- needs: common drain
-- Hand out messages of a channel. ARGV: 3 channel, 4 how long until each comes again (ms), 5 limit, 6 how many in a
-- minute (0: as many as there are), 7 how many at once when more than that are due.
local out, lease, limit = P .. 'outbox:' .. ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local pace, paced = tonumber(ARGV[6]), P .. 'pace:' .. ARGV[3]
local since, sent = NOW, 0
if pace > 0 then
  local field = call('HMGET', paced, 'since', 'sent')
  if field[1] and NOW < tonumber(field[1]) + 60000 then since, sent = tonumber(field[1]), tonumber(field[2]) end
  if sent >= pace then return {} end
  if call('ZCOUNT', out, '-inf', text(NOW)) > pace then limit = tonumber(ARGV[7]) end
end
local found = {}
-- Some more than are wanted: of a remediation one is sent at a time, so that its messages stay in order.
for _, member in ipairs(call('ZRANGEBYSCORE', out, '-inf', text(NOW), 'LIMIT', 0, limit + 50)) do
  if #found >= limit then break end
  local id, name = string.match(member, '^(%S+) (.+)$')
  local key = P .. 'told:' .. id
  local field = call('HMGET', key, 'm:' .. name, 's:' .. name, 'f:' .. ARGV[3])
  if not field[1] or not field[2] then
    call('ZREM', out, member)
  elseif tonumber(field[3] or '0') <= NOW then
    call('ZADD', out, text(NOW + lease), member)
    call('HSET', key, 'f:' .. ARGV[3], text(NOW + lease))
    local attempts = call('HINCRBY', key, 'n:' .. name, 1)
    found[#found + 1] = {id, name, field[1], text(attempts), field[2]}
  end
end
if pace > 0 and #found > 0 then
  -- Several are told as one, which is enough for this minute.
  if #found > 1 then since, sent = NOW, pace - 1 end
  call('HSET', paced, 'since', text(since), 'sent', text(sent + 1))
  call('PEXPIRE', paced, 120000)
end
return found
