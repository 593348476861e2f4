-- needs: common drain remediation
-- Prolong a claim. ARGV: 3 id, 4 token, 5 worker, 6 entry. JUSTID: a renewal is no delivery.
if not owned(ARGV[3], ARGV[4]) then return 0 end
call('XCLAIM', WORK, 'workers', ARGV[5], 0, ARGV[6], 'JUSTID')
return 1
