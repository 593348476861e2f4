-- needs: common drain
-- Count the tries of one alert of an entry. ARGV: 3 entry, 4 index.
local key = P .. 'tries:' .. ARGV[3]
local tries = call('HINCRBY', key, ARGV[4], 1)
call('EXPIRE', key, KEEP_DECISIONS)
return tries
