-- needs: common drain
-- Make open incidents that wait on a reason due now, some hundred at a time. ARGV: 3 reason, 4 cursor.
local page = call('SSCAN', P .. 'waits:' .. ARGV[3], ARGV[4], 'COUNT', 500)
local woken = 0
for _, alert in ipairs(page[2]) do
  woken = woken + call('ZADD', P .. 'waiting', 'XX', 'LT', 'CH', text(NOW), alert)
end
return {page[1], woken}
