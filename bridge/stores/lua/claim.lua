-- needs: common drain remediation
-- A worker read an entry of `work`. ARGV: 3 entry, 4 id, 5 worker, 6 schema.
local entry, id = ARGV[3], ARGV[4]
local field = call('HMGET', rem(id), 'state', 'entry', 'v', 'deaths')
if not field[1] or field[1] == 'done' or field[2] ~= entry then
  drop_entry(entry)
  return {'gone'}
end
if tonumber(field[3]) > tonumber(ARGV[6]) then return {'newer'} end
local token = text(call('INCR', P .. 'token'))
call('HSET', rem(id), 'state', 'running', 'token', token, 'worker', ARGV[5], 'updated', text(NOW))
call('HDEL', rem(id), 'woken')
return {'claimed', entry, id, token, field[4] or '0'}
