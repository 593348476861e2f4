-- needs: common drain trust
-- A person ends a pause. ARGV: 3 scope, 4 the runbook that is trusted again (empty: none), 5 note for the trail.
-- What made `halt_after` halt is looked at by a person now: it must not halt again at the next run.
if ARGV[3] == 'all' then call('DEL', P .. 'budget:wanted') end
local resumed = call('HDEL', P .. 'pauses', ARGV[3])
if ARGV[4] ~= '' then resumed = resumed + restore(ARGV[4]) end
if resumed > 0 then trail('o', ARGV[5]) end
return resumed
