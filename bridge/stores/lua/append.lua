-- needs: common drain remediation
-- ARGV: 3 id, 4 token, 5 journal entry, 6 "1" when a write follows.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return 0 end
if ARGV[6] == '1' and call('HGET', rem(id), 'writing') ~= '1' then
  call('HSET', rem(id), 'writing', '1')
  local runs = P .. 'runs:' .. call('HGET', rem(id), 'rk')
  call('RPUSH', runs, string.format('%.3f', NOW / 1000))
  call('LTRIM', runs, -100, -1)
  call('EXPIRE', runs, KEEP_RUNS)
end
call('HSET', rem(id), 'updated', text(NOW))
journal(id, ARGV[5])
return 1
