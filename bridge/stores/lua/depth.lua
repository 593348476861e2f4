-- needs: common
-- Figures of the queues. Ages come from the ids of stream entries, which are Redis's own milliseconds.
local time = call('TIME')
local real = time[1] * 1000 + math.floor(time[2] / 1000)
local function age(stream)
  local row = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not row then return '0' end
  return string.format('%.3f', math.max(0, real - tonumber(string.match(row[1], '^%d+'))) / 1000)
end
return {
  'intake', text(call('XLEN', P .. 'intake')), 'intake_age', age(P .. 'intake'),
  'work', text(call('XLEN', P .. 'work')), 'work_age', age(P .. 'work'),
  'pending', text(call('XPENDING', P .. 'work', 'workers')[1]),
  'parked', text(call('ZCARD', P .. 'parked')),
  'waiting', text(call('ZCARD', P .. 'waiting')),
  'incidents', text(call('ZCARD', P .. 'open')),
  'dead', text(call('LLEN', P .. 'dead')),
}
