-- needs: common drain
-- Stop new writes in a scope; whoever stops everything must not be refused because memory is full.
-- ARGV: 3 scope, 4 pause, 5 note for the trail.
call('HSET', P .. 'pauses', ARGV[3], ARGV[4])
trail('o', ARGV[5])
return 1
