-- needs: common drain remediation
-- Count a run that is about to write, unless what counts by now leaves no room for it. ARGV: 3 id, 4 token, then for each
-- limit: sort, how many, in which time (ms). -1: the claim is lost; 0: no room; 1: it is counted.
local id = ARGV[3]
if not owned(id, ARGV[4]) then return -1 end
local field = call('HMGET', rem(id), 'counted', 'writing')
if field[1] or field[2] == '1' then return 1 end
local runs = run_keys(id)
for i = 5, #ARGV, 3 do
  for _, run in ipairs(runs) do
    if run.sort == ARGV[i] then
      local recent = 0
      for _, at in ipairs(call('LRANGE', run.key, 0, -1)) do
        if tonumber(at) * 1000 > NOW - tonumber(ARGV[i + 2]) then recent = recent + 1 end
      end
      if recent >= tonumber(ARGV[i + 1]) then return 0 end
    end
  end
end
count_run(id)
return 1
