-- needs: common drain
-- What is known of a runbook for an alert, and what follows from it now. ARGV: 3 runbook, 4 alert, 5 stop after so many
-- in a row (empty: never), 6 how many runs count, 7 at least, 8 approve below, 9 observe below.
-- trust:stopped  hash: runbook -> {runs, at};  trust:lowered  hash: ALERT|RUNBOOK -> {mode, helped, runs, at}
local runbook, pair = ARGV[3], ARGV[4] .. '|' .. ARGV[3]
local stopped = call('HGET', P .. 'trust:stopped', runbook)
local stop_after = tonumber(ARGV[5])
if not stopped and stop_after then
  local row = call('LRANGE', P .. 'trust:runbook|' .. runbook, 0, stop_after - 1)
  local bad = 0
  for _, helped in ipairs(row) do
    if helped == '0' then bad = bad + 1 end
  end
  if bad >= stop_after then
    stopped = string.format('{"runs":%d,"at":%.3f}', bad, NOW / 1000)
    call('HSET', P .. 'trust:stopped', runbook, stopped)
    by_itself('runbook_stopped', 'its last ' .. text(bad) .. ' runs did not help', runbook)
  end
end
local function order(mode) return mode == 'observe' and 0 or mode == 'approve' and 1 or 2 end
local lowered = call('HGET', P .. 'trust:lowered', pair)
local runs = call('LRANGE', P .. 'trust:pair|' .. pair, 0, tonumber(ARGV[6]) - 1)
if #runs >= tonumber(ARGV[7]) then
  local helped = 0
  for _, each in ipairs(runs) do
    if each == '1' then helped = helped + 1 end
  end
  local share, mode = helped / #runs, 'auto'
  if share < tonumber(ARGV[9]) then mode = 'observe' elseif share < tonumber(ARGV[8]) then mode = 'approve' end
  if order(mode) < order(lowered and cjson.decode(lowered).mode or 'auto') then
    lowered = string.format('{"mode":"%s","helped":%d,"runs":%d,"at":%.3f}', mode, helped, #runs, NOW / 1000)
    call('HSET', P .. 'trust:lowered', pair, lowered)
    local why = text(helped) .. ' of its last ' .. text(#runs) .. ' runs helped'
    by_itself('mode_lowered', why, runbook, 'to ' .. mode .. ' for the alert ' .. ARGV[4])
  end
end
return {stopped or '', lowered or ''}
