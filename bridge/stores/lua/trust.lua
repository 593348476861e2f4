-- A person trusts a runbook again: what it did before does not count any more. Returns how much was held against it.
local function restore(runbook)
  local restored = call('HDEL', P .. 'trust:stopped', runbook)
  call('DEL', P .. 'trust:runbook|' .. runbook)
  for _, pair in ipairs(call('HKEYS', P .. 'trust:lowered')) do
    if string.sub(pair, -#runbook - 1) == '|' .. runbook then
      restored = restored + call('HDEL', P .. 'trust:lowered', pair)
      call('DEL', P .. 'trust:pair|' .. pair)
    end
  end
  return restored
end
