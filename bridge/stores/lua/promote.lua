-- needs: common drain remediation
-- Put parked remediations that are due back into `work`, and create what undoes temporary changes that are over.
-- ARGV: 3 limit.
local due = call('ZRANGEBYSCORE', P .. 'parked', '-inf', text(NOW), 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do
  call('ZREM', P .. 'parked', id)
  if call('HGET', rem(id), 'state') == 'parked' then enqueue(id) end
end
local over = call('ZRANGEBYSCORE', P .. 'reverts', '-inf', text(NOW), 'LIMIT', 0, ARGV[3])
for _, id in ipairs(over) do
  local kept = call('HMGET', P .. 'revert:' .. id, 'doc', 'v', 'qk', 'rk')
  forget_revert(id)
  if kept[1] and call('EXISTS', rem(id)) == 0 then
    create_undo(id, kept[1], kept[2], kept[3], kept[4] or '')
  end
end
return #due + #over
