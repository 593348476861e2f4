-- needs: common drain remediation
-- Put parked remediations that are due back into `work`. ARGV: 3 limit.
local due = call('ZRANGEBYSCORE', P .. 'parked', '-inf', text(NOW), 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  call('ZREM', P .. 'parked', id)
  if call('HGET', rem(id), 'state') == 'parked' then enqueue(id) end
end
return #due
