-- needs: common drain remediation
-- Give a remediation back for another worker, at once. ARGV: 3 id, 4 token, 5 entry, 6 journal.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return 0 end
journal(id, ARGV[6])
drop_entry(ARGV[5])
call('HSET', rem(id), 'token', '', 'worker', '')
enqueue(id)
return 1
