-- The versions of an object. ARGV: 3 object. Returns the index as JSON, newest first, and their blobs in that order.
local key = ARGV[1] .. 'copy:' .. ARGV[3]
local raw = redis.call('HGET', key, 'index')
if not raw then return {} end
local found = { raw }
for _, entry in ipairs(cjson.decode(raw)) do found[#found + 1] = redis.call('HGET', key, entry.digest) end
return found
