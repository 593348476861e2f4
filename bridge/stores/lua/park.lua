-- needs: common drain remediation
-- Let go of a claim and come back later. ARGV: 3 id, 4 token, 5 entry, 6 due (ms; empty: when woken), 7 journal,
-- 8 reason that the alerts are told of (or empty), 9 detail; with a question for people also 10 its digest, 11 how many
-- have to agree, 12 until (ms).
local id = ARGV[3]
if not owned(id, ARGV[4]) then return 0 end
journal(id, ARGV[7])
drop_entry(ARGV[5])
-- What has written nothing is planned again after its wait, and reserves again: meanwhile it keeps nobody off.
if call('HGET', rem(id), 'writing') ~= '1' then
  settle_budget(id, false)
  uncount_run(id)
  if ARGV[8] ~= '' and ARGV[8] ~= 'locked' then step_aside(id) end
end
call('HSET', rem(id), 'token', '', 'worker', '')
if ARGV[8] ~= '' then tell(id, call('SMEMBERS', rem(id) .. ':open'), ARGV[8], ARGV[9]) end
if ARGV[10] then
  -- Answers are about the changes that were shown: others are another question.
  if call('HGET', rem(id), 'ask') ~= ARGV[10] then call('DEL', rem(id) .. ':answers') end
  call('HSET', rem(id), 'ask', ARGV[10], 'ask_need', ARGV[11], 'ask_until', ARGV[12],
    'reason', ARGV[8], 'detail', ARGV[9])
end
if call('HDEL', rem(id), 'woken') == 1 then
  -- Somebody woke it while it still ran: sleeping now would lose that.
  enqueue(id)
else
  call('HSET', rem(id), 'state', 'parked', 'due', ARGV[6], 'updated', text(NOW))
  call('HDEL', rem(id), 'entry')
  call('ZADD', P .. 'parked', ARGV[6] ~= '' and ARGV[6] or '+inf', id)
end
return 1
