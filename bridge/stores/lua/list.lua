-- needs: common remediation
-- Ids of remediations, newest first. ARGV: 3 limit, 4 state or empty, 5 id to begin after or empty, 6 rows to scan.
local found, rank, limit = {}, 0, tonumber(ARGV[3])
if ARGV[5] ~= '' then
  rank = call('ZREVRANK', P .. 'index', ARGV[5])
  if not rank then return found end
  rank = rank + 1
end
local last = rank + tonumber(ARGV[6])
while rank < last do
  local ids = call('ZREVRANGE', P .. 'index', rank, rank + 99)
  for _, id in ipairs(ids) do
    local state = call('HGET', rem(id), 'state')
    if state and (ARGV[4] == '' or state == ARGV[4]) then
      found[#found + 1] = id
      if #found >= limit then return found end
    end
  end
  if #ids < 100 then return found end
  rank = rank + 100
end
return found
