-- needs: common drain
-- A person trusts a runbook again. ARGV: 3 runbook. What it did before does not count any more.
local restored = call('HDEL', P .. 'trust:stopped', ARGV[3])
call('DEL', P .. 'trust:runbook|' .. ARGV[3])
for _, pair in ipairs(call('HKEYS', P .. 'trust:lowered')) do
  if string.sub(pair, -#ARGV[3] - 1) == '|' .. ARGV[3] then
    restored = restored + call('HDEL', P .. 'trust:lowered', pair)
    call('DEL', P .. 'trust:pair|' .. pair)
  end
end
return restored
