-- needs: common drain remediation
-- Lock all keys or none. ARGV: 3 id, 4 token, 5 seconds, 6 how many runs wait for this one, those, then keys (sorted).
-- The value holds the deadline by the store's clock; the key's own expiry is what cleans up.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return {'lost'} end
local above, first, free = {}, 7 + tonumber(ARGV[6]), {}
for i = 7, first - 1 do above[ARGV[i]] = true end
for i = first, #ARGV do
  local value, theirs = call('GET', P .. 'lock:' .. ARGV[i]), false
  if value then
    local deadline, owner = string.match(value, '^([^|]*)|(.*)$')
    if owner ~= id and tonumber(deadline) > NOW then
      if not above[owner] then return {'held', owner} end
      theirs = true
    end
  end
  if not theirs then free[#free + 1] = ARGV[i] end
end
local ms = tonumber(ARGV[5]) * 1000
for _, key in ipairs(free) do
  call('SET', P .. 'lock:' .. key, text(NOW + ms) .. '|' .. id, 'PX', text(ms))
  call('SADD', rem(id) .. ':locks', key)
end
call('EXPIRE', rem(id) .. ':locks', KEEP_REMEDIATIONS)
return {'locked'}
