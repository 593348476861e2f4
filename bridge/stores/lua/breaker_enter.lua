-- needs: common drain breaker
-- ARGV: 3 name, 4 probe time-out (ms). Answers: go | probe TOKEN | wait MS.
local name, breaker = ARGV[3], load(ARGV[3])
if breaker.s == 'closed' then return {'go'} end
if NOW < breaker.u then return {'wait', text(breaker.u - NOW)} end
if breaker.p ~= '' and NOW < breaker.e then return {'wait', text(breaker.e - NOW)} end
breaker.s, breaker.p, breaker.e = 'half_open', text(call('INCR', P .. 'token')), NOW + tonumber(ARGV[4])
save(name, breaker)
return {'probe', breaker.p}
