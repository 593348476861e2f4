-- needs: common drain remediation
-- Close incidents that were not seen for their time to live. ARGV: 3 limit.
-- `open` orders them by when they were last known to be seen, so that each is looked at about once in that time.
local closed = {}
local since = text(NOW - INCIDENT_TTL_MS)
for _, alert in ipairs(call('ZRANGEBYSCORE', P .. 'open', '-inf', since, 'LIMIT', 0, ARGV[3])) do
  local key = P .. 'inc:' .. alert
  local field = call('HMGET', key, 'sid', 'start', 'fp')
  local seen, bucket, member = 0, nil, nil
  if field[1] then
    bucket, member = P .. 'seen:' .. string.sub(field[1], 1, 2), string.sub(field[1], 3)
    local record = call('HGET', bucket, member)
    if record then
      local state, _, _, at = struct.unpack('>c1ddI4I4', record)
      if state == 'o' then seen = at * 1000 end
    end
  end
  if seen > NOW - INCIDENT_TTL_MS then
    call('ZADD', P .. 'open', text(seen), alert)
  else
    -- Its record goes as well: firing again with the same start is a new incident.
    if bucket then call('HDEL', bucket, member) end
    call('ZREM', P .. 'open', alert)
    clear_wait(alert)
    local incident = alert .. '/' .. (field[2] or '')
    for _, id in pairs(asked_for(alert)) do detach(id, incident, 'expired', 'its alerts were not seen any more') end
    detach_former(alert, incident, 'expired', 'its alerts were not seen any more')
    call('HSET', key, 'open', '0', 'closed', text(NOW))
    call('EXPIRE', key, KEEP_DECISIONS)
    if field[3] then decide(field[3], cjson.encode({reason = 'expired', incident = incident})) end
    closed[#closed + 1] = incident
  end
end
return closed
