-- needs: common drain remediation
-- The end of a remediation. ARGV: 3 id, 4 token, 5 outcome, 6 reason, 7 detail, 8 escalated, 9 journal,
-- 10 "1" when its open incidents are to wait on the reason, 11 until (ms; empty: not known).
local id, reason = ARGV[3], ARGV[6]
if not owned(id, ARGV[4]) then return 0 end
journal(id, ARGV[9])
local open = call('SMEMBERS', rem(id) .. ':open')
if ARGV[10] == '1' then
  call('HSET', rem(id), 'again', '1')
  local due = ARGV[11] ~= '' and tonumber(ARGV[11]) or NOW + LOOK_AGAIN_MS
  for _, incident in ipairs(open) do
    local alert, start = split(incident)
    local now = call('HMGET', P .. 'inc:' .. alert, 'open', 'start')
    if now[1] == '1' and now[2] == start then set_wait(alert, reason, due) end
  end
end
tell(id, call('SMEMBERS', rem(id) .. ':inc'), reason, ARGV[7])
-- What puts something back was asked for by no alert: those of the run before are told, and its journal.
local document = call('HGET', rem(id), 'doc')
local before = document and cjson.decode(document).undo_of or ''
if before ~= '' then
  tell(id, call('SMEMBERS', rem(before) .. ':inc'), reason, ARGV[7])
  if call('EXISTS', P .. 'journal:' .. before) == 1 then
    journal(before, cjson.encode({kind = 'undo_ended', reason = reason, text = id .. ': ' .. ARGV[7],
      data = {undo = id}}))
  end
end
close(id, ARGV[5], reason, ARGV[7], ARGV[8])
return 1
