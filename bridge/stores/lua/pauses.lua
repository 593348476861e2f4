-- needs: common
-- The pauses in force. Those whose time is over are dropped, in this step: one that was made anew meanwhile stays.
local found = {}
local flat = call('HGETALL', P .. 'pauses')
for i = 1, #flat, 2 do
  local ends = tonumber(cjson.decode(flat[i + 1])['until'])
  if ends and ends * 1000 <= NOW then
    call('HDEL', P .. 'pauses', flat[i])
  else
    found[#found + 1] = flat[i + 1]
  end
end
return found
