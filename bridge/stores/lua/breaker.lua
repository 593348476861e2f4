-- Shared by the two breaker scripts. After common.lua.
-- All breakers stand in one hash; a value is JSON: s state, n failures in a row, f time of the first of them,
-- u open until, p token of the probe that is out, e when that probe is given up. Times in ms.
local BREAKERS = P .. 'breakers'
local function load(name)
  local value = call('HGET', BREAKERS, name)
  return value and cjson.decode(value) or {s = 'closed', n = 0, f = 0, u = 0, p = '', e = 0}
end
local function save(name, breaker) call('HSET', BREAKERS, name, cjson.encode(breaker)) end
