-- needs: common drain remediation
-- ARGV: 3 id, 4 token, 5 blob, then journal entries.
if not owned(ARGV[3], ARGV[4]) then return 0 end
if journal_full(ARGV[3]) then return 2 end
call('SET', rem(ARGV[3]) .. ':evidence', ARGV[5])
for i = 6, #ARGV do journal(ARGV[3], ARGV[i]) end
return 1
