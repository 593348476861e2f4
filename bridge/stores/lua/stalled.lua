-- needs: common drain
-- Take entries of the intake whose dispatcher got no further. ARGV: 3 worker, 4 schema, 5 limit.
local stream, found = P .. 'intake', {}
for _, waiting in ipairs(call('XPENDING', stream, 'dispatch', 'IDLE', CLAIM_MS, '-', '+', 100)) do
  local row = call('XRANGE', stream, waiting[1], waiting[1])[1]
  if not row then
    call('XACK', stream, 'dispatch', waiting[1])
  else
    local version = 0
    for i = 1, #row[2], 2 do
      if row[2][i] == 'v' then version = tonumber(row[2][i + 1]) end
    end
    if version <= tonumber(ARGV[4]) then
      call('XCLAIM', stream, 'dispatch', ARGV[3], 0, waiting[1])
      found[#found + 1] = {row[1], row[2], text(waiting[4] + 1)}
      if #found >= tonumber(ARGV[5]) then return found end
    end
  end
end
return found
