-- needs: common drain remediation
-- ARGV: 3 id, 4 reason, 5 detail, 6 who.
local id = ARGV[3]
if not cancel(id, ARGV[4], ARGV[5], ARGV[6]) then return 0 end
tell(id, call('SMEMBERS', rem(id) .. ':inc'), ARGV[4], ARGV[5])
return 1
