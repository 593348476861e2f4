-- needs: common drain remediation
-- Let go of a claim and come back later. ARGV: 3 id, 4 token, 5 entry, 6 due (ms; empty: when woken), 7 journal.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return 0 end
journal(id, ARGV[7])
drop_entry(ARGV[5])
call('HSET', rem(id), 'token', '', 'worker', '')
if call('HDEL', rem(id), 'woken') == 1 then
  -- Somebody woke it while it still ran: sleeping now would lose that.
  enqueue(id)
else
  call('HSET', rem(id), 'state', 'parked', 'due', ARGV[6], 'updated', text(NOW))
  call('HDEL', rem(id), 'entry')
  call('ZADD', P .. 'parked', ARGV[6] ~= '' and ARGV[6] or '+inf', id)
end
return 1
