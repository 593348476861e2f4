-- needs: common
-- How many open incidents wait on each reason. ARGV: 3... reasons.
local found = {}
for i = 3, #ARGV do found[#found + 1] = call('SCARD', P .. 'waits:' .. ARGV[i]) end
return found
