-- needs: common
-- Keep a version of an object. ARGV: 3 object, 4 digest, 5 good (1/0), 6 why, 7 blob, 8 most versions, 9 most objects,
-- 10 most bytes of all together. Returns how many versions of it are kept.
local object, digest, good = ARGV[3], ARGV[4], ARGV[5] == '1'
local key = P .. 'copy:' .. object
local raw = call('HGET', key, 'index')
local old = raw and cjson.decode(raw) or {}
local total = tonumber(call('GET', P .. 'copies:bytes') or '0')

local function drop(entry)
  call('HDEL', key, entry.digest)
  total = total - entry.size
end

local function forget(other)
  local index = call('HGET', P .. 'copy:' .. other, 'index')
  for _, entry in ipairs(index and cjson.decode(index) or {}) do total = total - entry.size end
  call('DEL', P .. 'copy:' .. other)
  call('ZREM', P .. 'copies', other)
end

-- The newest comes first, and each content is there once: what was good with it before makes it good again.
local first = { digest = digest, good = good, why = ARGV[6], at = NOW / 1000, size = #ARGV[7] }
local index = { first }
for place, entry in ipairs(old) do
  if entry.digest ~= digest then
    index[#index + 1] = entry
  else
    if entry.good or (place == 1 and not good) then first.why = entry.why end
    first.good = good or entry.good
    if place == 1 then first.at = entry.at end
    total = total - entry.size
  end
end
call('HSET', key, digest, ARGV[7])
total = total + first.size

-- The newest good one is what all this is for: it goes last of all.
while #index > tonumber(ARGV[8]) do
  local good_at = 0
  for place = #index, 1, -1 do if index[place].good then good_at = place end end
  local place = #index
  if place == good_at then place = place - 1 end
  drop(index[place])
  table.remove(index, place)
end
call('HSET', key, 'index', cjson.encode(index))
call('ZADD', P .. 'copies', NOW, object)

while true do
  local oldest = call('ZRANGE', P .. 'copies', 0, 0)[1]
  if oldest == object or not oldest then break end
  if call('ZCARD', P .. 'copies') <= tonumber(ARGV[9]) and total <= tonumber(ARGV[10]) then break end
  forget(oldest)
end
call('SET', P .. 'copies:bytes', total)
return #index
