-- needs: common
-- What counts of the budget now (see budget_reserve.lua); keeps nothing. ARGV: 3 window (ms).
local found = {call('ZCOUNT', P .. 'budget:wanted', '(' .. text(NOW - tonumber(ARGV[3])), '+inf')}
local flat = call('HGETALL', P .. 'budget')
for i = 1, #flat, 2 do
  local at, json = string.match(flat[i + 1], '^(%d+) (.*)$')
  if at == '0' or tonumber(at) + tonumber(ARGV[3]) > NOW then
    for _, each in ipairs({flat[i], at, json}) do found[#found + 1] = each end
  end
end
return found
