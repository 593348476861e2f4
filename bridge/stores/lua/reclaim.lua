-- needs: common drain remediation
-- Take one remediation whose worker stopped renewing. ARGV: 3 worker, 4 schema.
-- Idle times are Redis's own. The count of deaths stands in the record, so that a restart doesn't lose it.
local dead = {}
for _, waiting in ipairs(call('XPENDING', WORK, 'workers', 'IDLE', CLAIM_MS, '-', '+', 100)) do
  local entry = waiting[1]
  local row = call('XRANGE', WORK, entry, entry)[1]
  local id = row and row[2][2] or ''
  local field = call('HMGET', rem(id), 'state', 'entry', 'v', 'deaths')
  if not field[1] or field[1] == 'done' or field[2] ~= entry then
    drop_entry(entry)
  elseif tonumber(field[3]) <= tonumber(ARGV[4]) then
    local deaths = tonumber(field[4] or '0')
    -- One that is still queued was read but never claimed: nobody had begun to work on it.
    if field[1] == 'running' then deaths = deaths + 1 end
    call('HSET', rem(id), 'deaths', text(deaths))
    if deaths > MAX_DEATHS then
      local detail = text(deaths) .. ' workers died while they worked on it'
      journal(id, cjson.encode({kind = 'dead_letter', reason = 'dead_letter', text = detail}))
      dead_letter(cjson.encode({kind = 'remediation', remediation = id, error = detail}))
      tell(id, call('SMEMBERS', rem(id) .. ':open'), 'dead_letter', detail)
      close(id, 'unknown', 'dead_letter', detail, '1')
      dead[#dead + 1] = id
    else
      local token = text(call('INCR', P .. 'token'))
      call('XCLAIM', WORK, 'workers', ARGV[3], 0, entry, 'JUSTID')
      call('HSET', rem(id), 'state', 'running', 'token', token, 'worker', ARGV[3], 'updated', text(NOW))
      return {dead, entry, id, token, text(deaths)}
    end
  end
end
return {dead}
