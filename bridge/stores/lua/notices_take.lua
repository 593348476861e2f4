-- needs: common drain
-- Take remediations that are to be looked at. ARGV: 3 list, 4 how long until each comes again (ms), 5 limit.
local list = P .. 'watch:' .. ARGV[3]
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', list, '-inf', text(NOW), 'LIMIT', 0, ARGV[5])) do
  call('ZADD', list, text(NOW + tonumber(ARGV[4])), id)
  local field = call('HMGET', P .. 'told:' .. id, 'v:' .. ARGV[3], 'doc:' .. ARGV[3], 'ack')
  found[#found + 1] = {id, field[1] or '0', field[2] or '', field[3] or ''}
end
return found
