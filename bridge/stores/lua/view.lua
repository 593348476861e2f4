-- needs: common remediation
-- Remediations with their progress. ARGV: 3 how many incidents of each at most, then ids.
local found = {}
for i = 4, #ARGV do
  local key = rem(ARGV[i])
  local flat = call('HGETALL', key)
  if #flat > 0 then
    found[#found + 1] = {flat, call('SRANDMEMBER', key .. ':inc', ARGV[3]), call('SRANDMEMBER', key .. ':open', ARGV[3]),
      call('HKEYS', key .. ':targets')}
  end
end
return found
