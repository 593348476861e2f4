-- needs: common drain remediation
-- ARGV: 3 id, 4 token, 5 journal entry, 6 "1" when a write follows; for a temporary change also 7 the id of what
-- undoes it, 8 after how long (ms), 9 schema, 10 document, 11 the least that it stays (ms).
local id = ARGV[3]
if not owned(id, ARGV[4]) then return 0 end
if journal_full(id) then return 2 end
-- A no that was taken is kept to, also by a run that was past asking when it came.
if ARGV[6] == '1' and said_no(id) then return 3 end
if ARGV[6] == '1' and call('HGET', rem(id), 'writing') ~= '1' then
  call('HSET', rem(id), 'writing', '1')
  count_run(id)
end
-- What is written was agreed to, or needs nobody: no answer changes that any more.
if ARGV[6] == '1' then call('HDEL', rem(id), 'ask') end
call('HSET', rem(id), 'updated', text(NOW))
journal(id, ARGV[5])
if ARGV[7] and call('ZADD', P .. 'reverts', 'NX', text(NOW + tonumber(ARGV[8])), ARGV[7]) == 1 then
  call('HSET', P .. 'revert:' .. ARGV[7], 'v', ARGV[9], 'doc', ARGV[10], 'qk', call('HGET', rem(id), 'qk'),
    'rk', call('HGET', rem(id), 'rk'), 'due', text(NOW + tonumber(ARGV[8])), 'least', text(NOW + tonumber(ARGV[11])))
  call('SADD', rem(id) .. ':reverts', ARGV[7])
  -- Its alerts may have resolved while it ran: no resolve comes any more that would bring the end near.
  if call('SCARD', rem(id) .. ':inc') > 0 then calm(id) end
end
return 1
