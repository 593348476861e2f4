-- needs: common drain remediation
-- Record what the dispatcher decided about one transition of an alert; idempotent by seq.
-- ARGV: 3 alert (SOURCE/FINGERPRINT), 4 fingerprint, 5 source, 6 digest, 7 seq, 8 seen, 9 start, 10 transition,
-- 11 wait reason or empty, 12 wait until (ms, or empty), 13 schema, 14 how many decisions, then those, then
-- seven for each assignment: id, join key, queue key, runs key, document, runbook, route.
local alert, fingerprint, seq = ARGV[3], ARGV[4], tonumber(ARGV[7])
local key, incident = P .. 'inc:' .. alert, ARGV[3] .. '/' .. ARGV[9]
local old = call('HMGET', key, 'seq', 'open', 'start', 'again')
local last = tonumber(old[1] or '0')
-- `due` marks an open incident that may be dispatched again under the seq that it has.
local redispatch = seq == last and old[4] == '1' and old[2] == '1'
if seq < last or (seq == last and not redispatch) then return {'stale'} end

local created, joined, cancelled = {}, {}, {}
local first = 15 + tonumber(ARGV[14])

local function close_incident()
  call('HSET', key, 'seq', ARGV[7], 'open', '0', 'closed', text(NOW), 'fp', fingerprint, 'start', old[3] or ARGV[9])
  call('HDEL', key, 'again')
  clear_wait(alert)
  call('ZREM', P .. 'open', alert)
  call('EXPIRE', key, KEEP_DECISIONS)
  local ended = alert .. '/' .. (old[3] or ARGV[9])
  for _, id in pairs(asked_for(alert)) do
    if detach(id, ended, 'resolved', 'every alert that asked for it resolved') then
      cancelled[#cancelled + 1] = id
    end
  end
end

local function ask(i, kept)
  local id, join, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local mine = call('HGET', key, 'j:' .. join)
  if redispatch and mine then
    local ran = call('HMGET', rem(mine), 'state', 'again')
    -- It was dealt with for this incident; only what ended without acting is tried again.
    if not ran[1] or (ran[1] == 'done' and ran[2] ~= '1') then
      kept[join] = mine
      return
    end
  end
  local reason = 'joined'
  local open = call('HGET', P .. 'joins', join)
  if open then
    id = open
  else
    reason = 'created'
    call('HSET', rem(id), 'doc', ARGV[i + 4], 'v', ARGV[13], 'state', 'queued', 'jk', join, 'qk', queue,
      'rk', ARGV[i + 3], 'created', text(NOW), 'updated', text(NOW), 'token', '')
    call('HSET', P .. 'joins', join, id)
    call('ZADD', P .. 'index', text(NOW), id)
    if call('RPUSH', P .. 'queue:' .. queue, id) == 1 then enqueue(id) end
    created[#created + 1] = id
  end
  call('HSET', key, 'j:' .. join, id)
  kept[join] = id
  call('SADD', rem(id) .. ':inc', incident)
  if call('SADD', rem(id) .. ':open', incident) == 1 then
    if reason == 'joined' then joined[#joined + 1] = id end
    decide(fingerprint, cjson.encode({reason = reason, incident = incident, remediation = id,
      runbook = ARGV[i + 5], route = ARGV[i + 6]}))
  end
end

local function open_incident()
  local before, kept = {}, {}
  if not redispatch then
    before = asked_for(alert)
    for join in pairs(before) do call('HDEL', key, 'j:' .. join) end
    call('HSET', key, 'seq', ARGV[7], 'open', '1', 'start', ARGV[9], 't', ARGV[10], 'fp', fingerprint,
      'source', ARGV[5], 'sid', ARGV[6], 'opened', text(NOW))
    call('HDEL', key, 'closed')
    call('PERSIST', key)
    call('ZADD', P .. 'open', text(NOW), alert)
    call('SADD', P .. 'sources', ARGV[5])
  end
  call('HDEL', key, 'again')
  clear_wait(alert)
  for i = first, #ARGV, 7 do ask(i, kept) end
  -- After the joins: a remediation that the new incident joined must not lose its last one in between.
  local ended = alert .. '/' .. (old[3] or '')
  for join, id in pairs(before) do
    if ended ~= incident or kept[join] ~= id then
      if detach(id, ended, 'superseded', 'the alert fired anew and asks for something else') then
        cancelled[#cancelled + 1] = id
      end
    end
  end
  if ARGV[11] ~= '' then
    set_wait(alert, ARGV[11], ARGV[12] ~= '' and tonumber(ARGV[12]) or NOW + RECHECK_MS)
  end
end

if ARGV[8] == 'resolved' then close_incident() else open_incident() end
for i = 15, first - 1 do decide(fingerprint, ARGV[i]) end
return {'done', created, joined, cancelled}
