-- needs: common
-- Drop consumers of dead processes. Only those with nothing pending: what a deleted one had pending is lost.
-- ARGV: 3 idle for longer than this (ms).
local dropped = 0
for stream, group in pairs({intake = 'dispatch', work = 'workers'}) do
  for _, flat in ipairs(call('XINFO', 'CONSUMERS', P .. stream, group)) do
    local about = {}
    for i = 1, #flat, 2 do about[flat[i]] = flat[i + 1] end
    if about.pending == 0 and about.idle > tonumber(ARGV[3]) then
      call('XGROUP', 'DELCONSUMER', P .. stream, group, about.name)
      dropped = dropped + 1
    end
  end
end
return dropped
