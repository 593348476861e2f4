-- needs: common
-- A page of the audit trail. ARGV: 3 id to begin with, 4 how many. Each: id, its fields as they stand, and the entry
-- of a journal that it names (empty when that is gone).
local found = {}
for i, row in ipairs(call('XRANGE', P .. 'audit', ARGV[3], '+', 'COUNT', ARGV[4])) do
  local flat = row[2]
  local entry = flat[3] == 'r' and call('LINDEX', P .. 'journal:' .. flat[4], flat[6])
  found[i] = {row[1], flat, entry or ''}
end
return found
