-- needs: common drain remediation
-- Record what the dispatcher decided about transitions of alerts; each is idempotent by its seq.
-- ARGV: 3 schema, then for each: alert (SOURCE/FINGERPRINT), fingerprint, source, digest, seq, seen, start,
-- transition, wait reason or empty, wait until (ms, or empty), how many decisions, those, how many assignments,
-- and ten for each of these: id, join key, queue key, runs key, document, runbook, route, for a run for several
-- targets its target (else empty) and how many there may be, and who asked for it by hand (or empty).
-- Runs for every alert that is work: calls are counted.
local at, schema = 3, ARGV[3]
local function take()
  at = at + 1
  return ARGV[at]
end

local function read()
  local d = {alert = take(), fingerprint = take(), source = take(), digest = take(), seq = take(), seen = take(),
    start = take(), transition = take(), wait = take(), due = take(), decisions = {}, assignments = {}}
  for i = 1, tonumber(take()) do d.decisions[i] = take() end
  for i = 1, tonumber(take()) do
    d.assignments[i] = {id = take(), join = take(), queue = take(), runs = take(), document = take(),
      runbook = take(), route = take(), target = take(), most = tonumber(take()), detail = take()}
  end
  d.key, d.incident = P .. 'inc:' .. d.alert, d.alert .. '/' .. d.start
  return d
end

local function close_incident(d, old)
  local start = old[3] or d.start
  call('HSET', d.key, 'seq', d.seq, 'open', '0', 'closed', text(NOW), 'fp', d.fingerprint, 'start', start)
  call('EXPIRE', d.key, KEEP_DECISIONS)
  if not old[1] then return end
  call('HDEL', d.key, 'again')
  clear_wait(d.alert)
  call('ZREM', P .. 'open', d.alert)
  for _, id in pairs(asked_for(d.alert)) do
    if detach(id, d.alert .. '/' .. start, 'resolved', 'every alert that asked for it resolved') then
      d.cancelled[#d.cancelled + 1] = id
    end
  end
  detach_former(d.alert, d.alert .. '/' .. start, 'resolved', 'every alert that asked for it resolved')
  soothe(d.alert)
end

local function create(a)
  call('HSET', rem(a.id), 'doc', a.document, 'v', schema, 'state', 'queued', 'jk', a.join, 'qk', a.queue,
    'rk', a.runs, 'created', text(NOW), 'updated', text(NOW), 'token', '')
  call('HSET', P .. 'joins', a.join, a.id)
  call('ZADD', P .. 'index', text(NOW), a.id)
  if call('RPUSH', P .. 'queue:' .. a.queue, a.id) == 1 then enqueue(a.id) end
end

-- Whether an earlier dispatch of this incident led to a remediation that settles the wish: one that was over
-- without acting is tried again.
local function settled(d, a)
  local mine = d.redispatch and call('HGET', d.key, 'j:' .. a.join)
  if not mine then return nil end
  local ran = call('HMGET', rem(mine), 'state', 'again')
  return (not ran[1] or (ran[1] == 'done' and ran[2] ~= '1')) and mine
end

-- The open remediation that the alert joins, if there is one. One for several targets takes further ones until it
-- begins to write, or has as many as it may.
local function to_join(a)
  local open = a.target ~= '' and call('HGET', P .. 'joins', a.join .. '#' .. a.target)
  if open then return open end
  open = call('HGET', P .. 'joins', a.join)
  if open and a.target ~= '' and (call('HGET', rem(open), 'writing') == '1'
    or call('HLEN', rem(open) .. ':targets') >= a.most) then return nil end
  return open
end

local function ask(d, a)
  local mine = settled(d, a)
  if mine then return mine end
  local open = to_join(a)
  local id = open or a.id
  if not open then
    create(a)
    d.created[#d.created + 1] = id
  end
  local before = d.redispatch and call('HGET', d.key, 'j:' .. a.join)
  if before and before ~= id then hand_on(d.alert, d.incident, before) end
  call('HSET', d.key, 'j:' .. a.join, id)
  call('SADD', rem(id) .. ':inc', d.incident)
  if call('SADD', rem(id) .. ':open', d.incident) == 1 then
    if a.target ~= '' then
      call('HINCRBY', rem(id) .. ':targets', a.target, 1)
      call('HSET', P .. 'joins', a.join .. '#' .. a.target, id)
      call('HSET', d.key, 'g:' .. a.join, a.target)
    end
    if open then d.joined[#d.joined + 1] = id end
    decide(d.fingerprint, cjson.encode({reason = open and 'joined' or 'created', incident = d.incident,
      remediation = id, runbook = a.runbook, route = a.route, detail = a.detail ~= '' and a.detail or d.redispatch and 'still firing' or nil}))
  end
  return id
end

local function open_incident(d, old)
  local before, kept = {}, {}
  if old[1] then
    if not d.redispatch then
      before = asked_for(d.alert)
      for _, id in ipairs(stirred_by(d.alert)) do stir(id, d.alert) end
      for _, id in pairs(before) do stir(id, d.alert) end
      for join in pairs(before) do call('HDEL', d.key, 'j:' .. join) end
      call('PERSIST', d.key)
    end
    call('HDEL', d.key, 'again', not d.redispatch and 'closed' or 'again')
    clear_wait(d.alert)
  end
  if not d.redispatch then
    call('HSET', d.key, 'seq', d.seq, 'open', '1', 'start', d.start, 't', d.transition, 'fp', d.fingerprint,
      'source', d.source, 'sid', d.digest, 'opened', text(NOW))
    call('ZADD', P .. 'open', text(NOW), d.alert)
    if not old[1] then call('SADD', P .. 'sources', d.source) end
  end
  for _, a in ipairs(d.assignments) do kept[a.join] = ask(d, a) end
  -- After the joins: a remediation that the new incident joined must not lose its last one in between.
  local ended = d.alert .. '/' .. (old[3] or '')
  for join, id in pairs(before) do
    if (ended ~= d.incident or kept[join] ~= id)
      and detach(id, ended, 'superseded', 'the alert fired anew and asks for something else') then
      d.cancelled[#d.cancelled + 1] = id
    end
  end
  if old[1] and not d.redispatch and ended ~= d.incident then
    detach_former(d.alert, ended, 'superseded', 'the alert fired anew')
  end
  if d.wait ~= '' then
    add_wait(d.alert, d.wait, d.due ~= '' and tonumber(d.due) or NOW + RECHECK_MS)
  end
end

local function dispatch(d)
  local old = call('HMGET', d.key, 'seq', 'open', 'start', 'again')
  local seq, last = tonumber(d.seq), tonumber(old[1] or '0')
  -- `due` marks an open incident that may be dispatched again under the seq that it has.
  d.redispatch = seq == last and old[4] == '1' and old[2] == '1'
  if seq < last or (seq == last and not d.redispatch) then return {'stale'} end
  d.created, d.joined, d.cancelled = {}, {}, {}
  if d.seen == 'resolved' then close_incident(d, old) else open_incident(d, old) end
  for _, decision in ipairs(d.decisions) do decide(d.fingerprint, decision, not old[1]) end
  return {'done', d.created, d.joined, d.cancelled}
end

local answers = {}
while at < #ARGV do
  local d = read()
  -- What goes wrong with one costs no other.
  local fine, answer = pcall(dispatch, d)
  answers[#answers + 1] = fine and answer or {'failed', tostring(answer.err or answer)}
end
return answers
