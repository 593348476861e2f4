-- needs: common breaker
-- Name and state of each; an open one whose cooldown is over would let a probe through: half open.
local found = {}
local flat = call('HGETALL', BREAKERS)
for i = 1, #flat, 2 do
  local breaker = cjson.decode(flat[i + 1])
  local state = breaker.s
  if state == 'open' and NOW >= breaker.u then state = 'half_open' end
  found[#found + 1] = flat[i]
  found[#found + 1] = state
end
return found
