-- needs: common drain remediation
-- ARGV: 3 id.
return wake(ARGV[3]) and 1 or 0
