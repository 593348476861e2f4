-- needs: common remediation
-- What the entry guards need. ARGV: 3 id, 4 runs key.
-- A run whose worker died when it had been counted, before it wrote: its own count must not speak against it.
local own = call('HMGET', rem(ARGV[3]), 'counted', 'writing')
own = own[2] ~= '1' and own[1]
local function without_own(times)
  for i = #times, 1, -1 do
    if times[i] == own then
      table.remove(times, i)
      break
    end
  end
  return times
end
-- The labels of the alerts that ask for it, where there are several: some of them may be silenced.
local labels, open = {}, call('SMEMBERS', rem(ARGV[3]) .. ':open')
for i = 1, #open > 1 and math.min(#open, 20) or 0 do
  local transition = call('HGET', P .. 'inc:' .. (split(open[i]) or ''), 't')
  local alert = transition and cjson.decode(transition).alert
  if alert and alert.labels then labels[#labels + 1] = cjson.encode(alert.labels) end
end
local facts = {
  text(NOW),
  call('HVALS', P .. 'pauses'),
  call('GET', P .. 'ran:' .. ARGV[4]),
  without_own(call('LRANGE', P .. 'runs:' .. ARGV[4], 0, -1)),
  #open,
  labels,
}
-- Of each sort the busiest: several alerts, or targets, may have asked for one run.
local sorts, most = {}, {}
for _, run in ipairs(run_keys(ARGV[3])) do
  local recent = {}
  for _, at in ipairs(without_own(call('LRANGE', run.key, 0, -1))) do
    if tonumber(at) * 1000 > NOW - 86400000 then recent[#recent + 1] = at end
  end
  if not most[run.sort] then sorts[#sorts + 1] = run.sort end
  if not most[run.sort] or #recent > #most[run.sort] then most[run.sort] = recent end
end
for _, sort in ipairs(sorts) do
  facts[#facts + 1] = sort
  facts[#facts + 1] = most[sort]
end
local ended = call('GET', P .. 'ended:' .. ARGV[4])
if ended then
  facts[#facts + 1] = 'undone'
  facts[#facts + 1] = {string.format('%.3f', tonumber(ended) / 1000)}
end
return facts
