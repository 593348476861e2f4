-- needs: common drain
-- Forget what is old: some buckets of the intake's records at a time, and ids of remediations that have expired.
-- ARGV: 3 how many buckets, 4 how many there are, 5 keep (s). Buckets carry no expiry: it would cost every new
-- alert one call more, and every bucket 50 bytes.
local dropped = 0
local count, total = tonumber(ARGV[3]), tonumber(ARGV[4])
local from = call('INCRBY', P .. 'sweep', count) - count
local oldest = math.floor(NOW / 1000) - tonumber(ARGV[5])
for i = from, from + count - 1 do
  local number = i % total
  local bucket = P .. 'seen:' .. string.char(math.floor(number / 64), number % 64)
  local flat = call('HGETALL', bucket)
  for j = 1, #flat, 2 do
    local _, _, _, seen = struct.unpack('>c1ddI4I4', flat[j + 1])
    if seen < oldest then
      call('HDEL', bucket, flat[j])
      dropped = dropped + 1
    end
  end
end
local before = text(NOW - KEEP_REMEDIATIONS * 1000)
for _, id in ipairs(call('ZRANGEBYSCORE', P .. 'index', '-inf', before, 'LIMIT', 0, 100)) do
  if call('EXISTS', P .. 'rem:' .. id) == 0 then call('ZREM', P .. 'index', id) end
end
call('XTRIM', P .. 'audit', 'MINID', text(NOW - KEEP_AUDIT * 1000))
return dropped
