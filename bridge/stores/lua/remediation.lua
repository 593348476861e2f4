-- Shared by the scripts that move a remediation through its life. After common.lua.
--
-- rem:ID          hash: doc, v, state, token, entry (its entry in `work`), jk, qk, rk, ...
-- rem:ID:inc      set of all its incidents; rem:ID:open those that have not resolved
-- rem:ID:targets  hash: target (JSON) -> how many of its open incidents are about it; only for several targets
-- joins           hash: join key -> the open remediation that others join; JOIN KEY#TARGET -> the one that has this
--                 target already
-- reverts         sorted set by due time: what will undo temporary changes; revert:ID a hash: doc, v, qk;
--                 rem:ID:reverts the set of those of a remediation
-- queue:KEY       list: remediations of one queue key; the head alone is out (in `work`, claimed or parked)
-- rem:ID:answers  hash: who -> "1" agrees, "0" does not, with what the run asks people (its fields ask, ask_need and
--                 ask_until)
-- parked          sorted set by due time; rem:ID:locks the locks that it holds
local WORK = P .. 'work'

local function rem(id) return P .. 'rem:' .. id end

local function owned(id, token)
  return call('HGET', rem(id), 'token') == token
end

local function enqueue(id)
  local entry = call('XADD', WORK, '*', 'id', id)
  call('HSET', rem(id), 'state', 'queued', 'entry', entry, 'updated', text(NOW))
  call('HDEL', rem(id), 'due')
end

local function drop_entry(entry)
  if entry and entry ~= '' then
    call('XACK', WORK, 'workers', entry)
    call('XDEL', WORK, entry)
  end
end

local function unlock(id)
  local held = P .. 'rem:' .. id .. ':locks'
  for _, name in ipairs(call('SMEMBERS', held)) do
    local key = P .. 'lock:' .. name
    local value = call('GET', key)
    if value and string.match(value, '^[^|]*|(.*)$') == id then call('DEL', key) end
  end
  call('DEL', held)
end

local function clear_wait(incident)
  local key = P .. 'inc:' .. incident
  local reason = call('HGET', key, 'wait')
  if reason then
    call('SREM', P .. 'waits:' .. reason, incident)
    call('HDEL', key, 'wait')
  end
  call('ZREM', P .. 'waiting', incident)
end

-- For one that waits on nothing.
local function add_wait(incident, reason, due)
  call('HSET', P .. 'inc:' .. incident, 'wait', reason)
  call('SADD', P .. 'waits:' .. reason, incident)
  call('ZADD', P .. 'waiting', text(due), incident)
end

local function set_wait(incident, reason, due)
  clear_wait(incident)
  add_wait(incident, reason, due)
end

-- `SOURCE/FINGERPRINT/START` -> key of the alert, start
local function split(incident)
  return string.match(incident, '^(.*)/([^/]*)$')
end

-- Nobody joins it by this key any more.
local function leave(id, join)
  if call('HGET', P .. 'joins', join) == id then call('HDEL', P .. 'joins', join) end
end

local function forget_revert(id)
  call('ZREM', P .. 'reverts', id)
  call('DEL', P .. 'revert:' .. id)
end

-- Where the runs of an alert, of a target (by whatever runbook) and of a runbook (for whatever target) are counted.
-- What only puts back something is no attempt.
local function run_keys(id)
  local document = call('HGET', rem(id), 'doc')
  local doc = document and cjson.decode(document)
  if not doc or (doc.undo_of or '') ~= '' then return {} end
  local keys = {{sort = 'runbook', key = P .. 'runs:runbook|' .. doc.runbook}}
  local targets = {}
  for _, target in ipairs(call('HKEYS', rem(id) .. ':targets')) do targets[#targets + 1] = cjson.decode(target) end
  if #targets == 0 then targets[1] = doc.target end
  for _, target in ipairs(targets) do
    keys[#keys + 1] = {sort = 'target', key = P .. 'runs:target|' .. table.concat({target.cluster, target.kind,
      target.namespace, target.name}, '|')}
  end
  for _, incident in ipairs(call('SMEMBERS', rem(id) .. ':inc')) do
    local fingerprint = string.match(incident, '([^/]*)/[^/]*$')
    if fingerprint then keys[#keys + 1] = {sort = 'alert', key = P .. 'runs:alert|' .. fingerprint} end
  end
  return keys
end

-- For how long a run is remembered (s): at least for as long as its own route counts it.
local function keep_runs(id)
  local document = call('HGET', rem(id), 'doc')
  local doc = document and cjson.decode(document) or {}
  return text(math.max(KEEP_RUNS, math.ceil(doc.cooldown or 0), math.ceil(doc.attempts_window or 0)))
end

-- Count a run among those of its runbook and target, of its alerts, of its targets and of its runbook: once, when it is
-- about to write.
local function count_run(id)
  if call('HEXISTS', rem(id), 'counted') == 1 then return end
  local at = string.format('%.3f', NOW / 1000)
  call('HSET', rem(id), 'counted', at)
  local runs = P .. 'runs:' .. call('HGET', rem(id), 'rk')
  call('RPUSH', runs, at)
  call('LTRIM', runs, -1000, -1)
  call('EXPIRE', runs, keep_runs(id))
  for _, run in ipairs(run_keys(id)) do
    call('RPUSH', run.key, at)
    call('LTRIM', run.key, -1000, -1)
    call('EXPIRE', run.key, 86400)
  end
end

-- What wrote nothing in the end was no run.
local function uncount_run(id)
  local field = call('HMGET', rem(id), 'counted', 'writing', 'rk')
  if not field[1] or field[2] == '1' then return end
  call('LREM', P .. 'runs:' .. field[3], -1, field[1])
  for _, run in ipairs(run_keys(id)) do call('LREM', run.key, -1, field[1]) end
  call('HDEL', rem(id), 'counted')
end

-- Whether somebody said no to the question that a run waits with.
local function said_no(id)
  if call('HEXISTS', rem(id), 'ask') == 0 then return false end
  for _, said in ipairs(call('HVALS', rem(id) .. ':answers')) do
    if said == '0' then return true end
  end
  return false
end

-- What a run reserved of the disruption budget: spent from now on when it wrote something, else given back.
local function settle_budget(id, wrote)
  local item = call('HGET', P .. 'budget', id)
  if not item then return end
  if wrote then
    call('HSET', P .. 'budget', id, (string.gsub(item, '^%d+', text(NOW), 1)))
  else
    call('HDEL', P .. 'budget', id)
  end
end

-- What undoes a remediation. No alert joins it, and it counts as no attempt of the runbook: both keys are its own.
-- `runs` is by what the runs are counted that it undoes: those that follow are told that it was undone.
-- One that waits (for hours, or for a person) and has changed nothing does not keep a change beyond its time, nor from
-- who wants it back; whatever both touch, they lock.
local function create_undo(id, doc, version, queue, runs)
  local head = call('LINDEX', P .. 'queue:' .. queue, 0)
  local ahead = head and call('HMGET', rem(head), 'state', 'writing')
  if ahead and ahead[1] == 'parked' and ahead[2] ~= '1' then queue = 'undo|' .. id end
  call('HSET', rem(id), 'doc', doc, 'v', version, 'jk', 'undo|' .. id, 'qk', queue, 'rk', 'undo|' .. id,
    'state', 'queued', 'created', text(NOW), 'updated', text(NOW), 'token', '', 'ur', runs)
  call('ZADD', P .. 'index', text(NOW), id)
  if call('RPUSH', P .. 'queue:' .. queue, id) == 1 then enqueue(id) end
end

-- Whether a run that wrote something helped: counted for its runbook, and for its alert and runbook.
local HELPED = {succeeded = '1', failed = '0', unknown = '0', undone = '0'}
local function keep_result(id, outcome)
  local document, helped = call('HGET', rem(id), 'doc'), HELPED[outcome]
  local doc = document and cjson.decode(document)
  if not helped or not doc or (doc.undo_of or '') ~= '' then return end
  local alert = (doc.labels or {}).alertname or ''
  for _, name in ipairs({'trust:runbook|' .. doc.runbook, 'trust:pair|' .. alert .. '|' .. doc.runbook}) do
    call('LPUSH', P .. name, helped)
    call('LTRIM', P .. name, 0, 99)
    call('EXPIRE', P .. name, KEEP_REMEDIATIONS)
  end
end

-- Move the end of what is still temporary of a remediation, and tell of it.
local function move_reverts(id, due_of, sentence)
  local moved
  for _, name in ipairs(call('SMEMBERS', rem(id) .. ':reverts')) do
    local now = call('ZSCORE', P .. 'reverts', name)
    local times = call('HMGET', P .. 'revert:' .. name, 'due', 'least')
    local due = now and times[1] and due_of(tonumber(now), tonumber(times[1]), tonumber(times[2]))
    if due and due ~= tonumber(now) then
      call('ZADD', P .. 'reverts', text(due), name)
      moved = moved or due
    end
  end
  if moved then
    local left = math.max(0, math.floor((moved - NOW) / 60000 + 0.5))
    journal(id, cjson.encode({kind = 'stability', text = sentence .. ' in ' .. text(left) .. ' min',
      data = {due = moved / 1000}}))
  end
end

-- All is well again: what is temporary ends when that has lasted, not before its least time and not after its most.
-- rem:ID:stirred  set of alerts that fire again although the incident of theirs that asked for it is over
local function calm(id)
  if call('SCARD', rem(id) .. ':open') > 0 or call('SCARD', rem(id) .. ':stirred') > 0 then return end
  move_reverts(id, function(now, most, least)
    return math.min(now, math.max(least, NOW + STABILITY_MS))
  end, 'every alert resolved: what is temporary is put back')
end

-- An alert fires again: what is temporary stays for as long as it may, until that alert is over as well.
local function stir(id, alert)
  local left = false
  for _, name in ipairs(call('SMEMBERS', rem(id) .. ':reverts')) do
    left = left or call('ZSCORE', P .. 'reverts', name)
  end
  if not left then
    call('HDEL', P .. 'inc:' .. alert, 's:' .. id)
    return
  end
  call('HSET', P .. 'inc:' .. alert, 's:' .. id, '1')
  call('SADD', rem(id) .. ':stirred', alert)
  call('EXPIRE', rem(id) .. ':stirred', KEEP_REMEDIATIONS)
  move_reverts(id, function(_, most) return most end, 'it fires again: what is temporary is put back')
end

-- What an alert had stirred, each remediation once: those that it asked for, and those that it asked for before.
local function stirred_by(alert)
  local found = {}
  local flat = call('HGETALL', P .. 'inc:' .. alert)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' then found[#found + 1] = string.sub(flat[i], 3) end
  end
  return found
end

-- The alert is over: what it stirred is calm again when no other stirs it.
local function soothe(alert)
  for _, id in ipairs(stirred_by(alert)) do
    if call('SREM', rem(id) .. ':stirred', alert) == 1 then calm(id) end
  end
end

-- What waits for people, or for its time, and has changed nothing keeps no other run of its target waiting: from now on
-- it has a queue of its own, and the locks alone keep them apart.
local function step_aside(id)
  local queue, own = call('HGET', rem(id), 'qk'), 'aside|' .. id
  if queue == own then return end
  call('HSET', rem(id), 'qk', own)
  call('RPUSH', P .. 'queue:' .. own, id)
  local head = call('LINDEX', P .. 'queue:' .. queue, 0)
  call('LREM', P .. 'queue:' .. queue, 1, id)
  local next = head == id and call('LINDEX', P .. 'queue:' .. queue, 0)
  if next then enqueue(next) end
end

-- Record the end, let go of everything, start the next of its queue.
local function close(id, outcome, reason, detail, escalated)
  local key = rem(id)
  local field = call('HMGET', key, 'jk', 'qk', 'rk', 'writing', 'entry', 'ur')
  -- A new token: whoever still works on it finds that it is his no more.
  call('HSET', key, 'state', 'done', 'outcome', outcome, 'reason', reason, 'detail', detail,
    'escalated', escalated, 'finished', text(NOW), 'updated', text(NOW), 'worker', '',
    'token', text(call('INCR', P .. 'token')))
  call('HDEL', key, 'entry', 'due', 'woken')
  drop_entry(field[5])
  call('ZREM', P .. 'parked', id)
  leave(id, field[1])
  for _, target in ipairs(call('HKEYS', key .. ':targets')) do leave(id, field[1] .. '#' .. target) end
  unlock(id)
  settle_budget(id, field[4] == '1')
  uncount_run(id)
  if field[4] == '1' then keep_result(id, outcome) end
  if outcome == 'undone' then
    for _, revert in ipairs(call('SMEMBERS', key .. ':reverts')) do forget_revert(revert) end
  end
  if (field[6] or '') ~= '' and outcome == 'undone' then call('SET', P .. 'ended:' .. field[6], text(NOW), 'EX', keep_runs(id)) end
  if field[4] == '1' then call('SET', P .. 'ran:' .. field[3], text(NOW), 'EX', keep_runs(id)) end
  for _, tail in ipairs({'', ':inc', ':open', ':targets', ':evidence', ':answers', ':reverts'}) do
    call('EXPIRE', key .. tail, KEEP_REMEDIATIONS)
  end
  call('EXPIRE', P .. 'journal:' .. id, KEEP_REMEDIATIONS)
  local queue = P .. 'queue:' .. field[2]
  local head = call('LINDEX', queue, 0)
  call('LREM', queue, 1, id)
  if head == id then
    local next = call('LINDEX', queue, 0)
    if next then enqueue(next) end
  end
end

-- Tell each alert that asked for it what became of it.
local function tell(id, incidents, reason, detail)
  for _, incident in ipairs(incidents) do
    local fingerprint = call('HGET', P .. 'inc:' .. (split(incident) or ''), 'fp')
    if fingerprint then
      decide(fingerprint, cjson.encode({reason = reason, detail = detail, incident = incident, remediation = id}))
    end
  end
end

-- One that has not begun to write is cancelled; true when it was.
local function cancel(id, reason, detail, by)
  local state = call('HMGET', rem(id), 'state', 'writing')
  if not state[1] or state[1] == 'done' or state[2] == '1' then return false end
  journal(id, cjson.encode({kind = 'cancelled', reason = reason, text = detail, data = by and {by = by}}))
  close(id, 'cancelled', reason, detail, '0')
  return true
end

-- Make a parked one go on now; a running one will not sleep when it parks. True when it was parked.
local function wake(id)
  if call('ZREM', P .. 'parked', id) == 1 then
    enqueue(id)
    return true
  end
  if call('HGET', rem(id), 'state') == 'running' then call('HSET', rem(id), 'woken', '1') end
  return false
end

-- A target goes with the last of its incidents, as long as nothing is written.
local function drop_target(id, incident)
  local key, alert = rem(id), split(incident)
  local field = call('HMGET', key, 'jk', 'writing')
  local target = alert and call('HGET', P .. 'inc:' .. alert, 'g:' .. (field[1] or ''))
  if not target or call('HEXISTS', key .. ':targets', target) == 0 then return end
  if call('HINCRBY', key .. ':targets', target, -1) <= 0 and field[2] ~= '1' then
    call('HDEL', key .. ':targets', target)
    leave(id, field[1] .. '#' .. target)
  end
end

-- An incident is over for a remediation. True when that cancelled it: it was the last and nothing was written.
local function detach(id, incident, reason, detail)
  local key = rem(id)
  if call('SREM', key .. ':open', incident) == 0 then return false end
  drop_target(id, incident)
  if reason == 'resolved' then calm(id) end
  if call('EXISTS', P .. 'told:' .. id) == 1 then
    -- A look that began before this is not kept: it saw the incident open.
    call('HINCRBY', P .. 'told:' .. id, 'v:notices', 1)
    call('ZADD', P .. 'watch:notices', 'LT', text(NOW), id)
  end
  if call('HGET', key, 'state') == 'done' or call('SCARD', key .. ':open') > 0 then return false end
  if cancel(id, reason, detail) then return true end
  wake(id)
  return false
end

local TOLD_ONCE = {attempts_spent = true, fires_again = true, runbook_stopped = true}

-- Another run has taken up what an alert's open incident asks for: it is over for the one before, but where that
-- called people, who are to hear of the incident's end as the calls end with it, or changed something for a time.
local function hand_on(alert, incident, before)
  local field = call('HMGET', rem(before), 'escalated', 'reason')
  -- What is told once is not told by each, but each may have to call: for one that was told before, and is over.
  local calls = field[1] == '1' or TOLD_ONCE[field[2] or '']
  if calls or call('EXISTS', rem(before) .. ':reverts') == 1 then
    call('HSET', P .. 'inc:' .. alert, 'f:' .. before, '1')
  else
    call('SREM', rem(before) .. ':open', incident)
  end
end

-- The incident is over also for those that called people before others took it up.
local function detach_former(alert, incident, reason, detail)
  local key = P .. 'inc:' .. alert
  for _, field in ipairs(call('HKEYS', key)) do
    if string.sub(field, 1, 2) == 'f:' then
      call('HDEL', key, field)
      detach(string.sub(field, 3), incident, reason, detail)
    end
  end
end

-- The remediations that an alert's open incident asked for: join key -> id.
local function asked_for(incident)
  local found = {}
  local flat = call('HGETALL', P .. 'inc:' .. incident)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 'j:' then found[string.sub(flat[i], 3)] = flat[i + 1] end
  end
  return found
end
