-- needs: common drain remediation
-- A person's answer to the question that a run waits with. ARGV: 3 id, 4 who, 5 "1" agrees, 6 digest of the question
-- that was seen (empty: whichever stands), 7 why, 8 a sentence for the journal.
-- Returns what became of it, how many agree now, how many have to.
local id, who, agree = ARGV[3], ARGV[4], ARGV[5]
local field = call('HMGET', rem(id), 'state', 'ask', 'ask_need', 'ask_until')
if not field[1] then return {'gone', 0, 0} end
if field[1] == 'done' then return {'done', 0, 0} end
if not field[2] then return {'not_asked', 0, 0} end
local key, need, agreed, denied = rem(id) .. ':answers', tonumber(field[3]), 0, false
for _, said in ipairs(call('HVALS', key)) do
  if said == '1' then agreed = agreed + 1 else denied = true end
end
if ARGV[6] ~= '' and ARGV[6] ~= field[2] then return {'changed', agreed, need} end
local before = call('HGET', key, who)
if before == agree then return {'already', agreed, need} end
if denied or agreed >= need then return {'settled', agreed, need} end
if NOW >= tonumber(field[4]) then return {'late', agreed, need} end
call('HSET', key, who, agree)
if agree == '1' then agreed = agreed + 1 elseif before then agreed = agreed - 1 end
journal(id, cjson.encode({kind = 'answered', text = ARGV[8],
  data = {by = who, agree = agree == '1', why = ARGV[7], question = field[2]}}))
call('HSET', rem(id), 'updated', text(NOW))
if agree == '1' then tell(id, call('SMEMBERS', rem(id) .. ':open'), 'approval_given', ARGV[8]) end
if agree ~= '1' or agreed >= need then wake(id) end
return {'taken', agreed, need}
