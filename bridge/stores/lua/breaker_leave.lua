-- needs: common drain breaker
-- ARGV: 3 name, 4 probe token or empty, 5 result (failed, fine, neither), 6 threshold, 7 window (ms), 8 cooldown (ms).
local name, token, result, breaker = ARGV[3], ARGV[4], ARGV[5], load(ARGV[3])
local function open()
  breaker.s, breaker.u, breaker.p, breaker.n = 'open', NOW + tonumber(ARGV[8]), '', 0
end
if token ~= '' then
  -- A probe that was given up reports too late: another one decides.
  if breaker.p == token then
    breaker.p = ''
    if result == 'failed' then open() elseif result == 'fine' then breaker.s, breaker.n = 'closed', 0 end
    save(name, breaker)
  end
elseif breaker.s == 'closed' then
  if result == 'failed' then
    if breaker.n == 0 or NOW - breaker.f > tonumber(ARGV[7]) then breaker.n, breaker.f = 0, NOW end
    breaker.n = breaker.n + 1
    if breaker.n >= tonumber(ARGV[6]) then open() end
    save(name, breaker)
  elseif result == 'fine' and (breaker.n > 0 or call('HEXISTS', BREAKERS, name) == 0) then
    breaker.n = 0
    save(name, breaker)
  end
end
return breaker.s
