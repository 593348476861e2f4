-- needs: common drain
-- One remediation, however often it asks, may tell of something; others not before its time is over.
-- ARGV: 3 a digest of what it is about, 4 remediation, 5 for how long (ms).
local key = P .. 'told:' .. ARGV[3]
local until_ms, holder = string.match(call('GET', key) or '', '^(%d+) (.*)$')
if holder and holder ~= ARGV[4] and tonumber(until_ms) > NOW then return 0 end
call('SET', key, text(NOW + tonumber(ARGV[5])) .. ' ' .. ARGV[4], 'PX', ARGV[5])
return 1
