-- needs: common drain
-- Entries whose alerts are all dispatched or set aside. ARGV: 3.. entries.
for i = 3, #ARGV do
  call('XACK', P .. 'intake', 'dispatch', ARGV[i])
  call('XDEL', P .. 'intake', ARGV[i])
  call('DEL', P .. 'tries:' .. ARGV[i])
end
return 1
