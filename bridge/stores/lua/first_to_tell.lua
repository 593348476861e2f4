-- needs: common drain
-- One remediation, however often it asks, may tell of something; others not before its time is over, or before nobody
-- has asked for a while. ARGV: 3 a digest of what it is about, 4 remediation, 5 for how long (ms), 6 that while (ms).
local key = P .. 'told:' .. ARGV[3]
local until_ms, asked_ms, holder = string.match(call('GET', key) or '', '^(%d+) (%d+) (.*)$')
local others = holder and holder ~= ARGV[4] and tonumber(until_ms) > NOW
  and tonumber(asked_ms) + tonumber(ARGV[6]) > NOW
if not others then until_ms, holder = text(NOW + tonumber(ARGV[5])), ARGV[4] end
call('SET', key, until_ms .. ' ' .. text(NOW) .. ' ' .. holder, 'PX', text(math.max(1, tonumber(until_ms) - NOW)))
return others and 0 or 1
