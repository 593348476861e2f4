-- needs: common
-- Figures of the queues. Ages come from the ids of stream entries, which are Redis's own milliseconds.
local time = call('TIME')
local real = time[1] * 1000 + math.floor(time[2] / 1000)
local function age(stream)
  local row = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not row then return '0' end
  return string.format('%.3f', math.max(0, real - tonumber(string.match(row[1], '^%d+'))) / 1000)
end
-- Runs that wait for an answer of people: of the first so many that wait at all.
local approvals = 0
for _, id in ipairs(call('ZRANGE', P .. 'parked', 0, 999)) do
  local asked = call('HMGET', P .. 'rem:' .. id, 'ask', 'ask_need')
  if asked[1] then
    local agreed = 0
    for _, said in ipairs(call('HVALS', P .. 'rem:' .. id .. ':answers')) do
      if said == '1' then agreed = agreed + 1 end
    end
    if agreed < tonumber(asked[2]) then approvals = approvals + 1 end
  end
end
return {
  'approvals', text(approvals),
  'intake', text(call('XLEN', P .. 'intake')), 'intake_age', age(P .. 'intake'),
  'work', text(call('XLEN', P .. 'work')), 'work_age', age(P .. 'work'),
  'pending', text(call('XPENDING', P .. 'work', 'workers')[1]),
  'parked', text(call('ZCARD', P .. 'parked')),
  'waiting', text(call('ZCARD', P .. 'waiting')),
  'incidents', text(call('ZCARD', P .. 'open')),
  'dead', text(call('LLEN', P .. 'dead')),
}
