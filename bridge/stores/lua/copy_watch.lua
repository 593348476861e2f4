-- needs: common
-- Note how what depends on an object fares. ARGV: 3 object, 4 digest of what it holds, 5 well (1/0), 6 longest time
-- between two looks (ms). Returns for how long (ms) it has been well with this content without a gap.
local key = P .. 'copies:watched'
local since, last, digest = string.match(call('HGET', key, ARGV[3]) or '', '^(%d+) (%d+) (.*)$')
if ARGV[5] == '0' then
  call('HDEL', key, ARGV[3])
  return 0
end
if not since or digest ~= ARGV[4] or NOW - tonumber(last) > tonumber(ARGV[6]) then since = text(NOW) end
call('HSET', key, ARGV[3], since .. ' ' .. text(NOW) .. ' ' .. ARGV[4])
return NOW - tonumber(since)
