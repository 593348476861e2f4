-- needs: common drain remediation
-- ARGV: 3 id, 4 token, 5 "1" when the run wrote something.
if owned(ARGV[3], ARGV[4]) then settle_budget(ARGV[3], ARGV[5] == '1') end
return 1
