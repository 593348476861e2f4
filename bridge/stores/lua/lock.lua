-- needs: common drain remediation
-- Lock all keys or none. ARGV: 3 id, 4 token, 5 seconds, then keys (sorted).
-- The value holds the deadline by the store's clock; the key's own expiry is what cleans up.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return {'lost'} end
for i = 6, #ARGV do
  local value = call('GET', P .. 'lock:' .. ARGV[i])
  if value then
    local deadline, owner = string.match(value, '^([^|]*)|(.*)$')
    if owner ~= id and tonumber(deadline) > NOW then return {'held', owner} end
  end
end
local ms = tonumber(ARGV[5]) * 1000
for i = 6, #ARGV do
  call('SET', P .. 'lock:' .. ARGV[i], text(NOW + ms) .. '|' .. id, 'PX', text(ms))
  call('SADD', rem(id) .. ':locks', ARGV[i])
end
call('EXPIRE', rem(id) .. ':locks', KEEP_REMEDIATIONS)
return {'locked'}
