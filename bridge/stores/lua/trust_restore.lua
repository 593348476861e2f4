-- needs: common drain trust
-- ARGV: 3 runbook.
return restore(ARGV[3])
