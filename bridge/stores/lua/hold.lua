-- needs: common
-- A dispatcher gets on with its entries: nobody else may take them yet. ARGV: 3 worker, then entries.
for i = 4, #ARGV do
  local mine = call('XPENDING', P .. 'intake', 'dispatch', ARGV[i], ARGV[i], 1, ARGV[3])
  if #mine > 0 then call('XCLAIM', P .. 'intake', 'dispatch', ARGV[3], 0, ARGV[i], 'JUSTID') end
end
return 1
