-- needs: common drain remediation
-- A person asks that what a remediation changed is put back: creates the record that does it, once.
-- ARGV: 3 id, 4 id of what undoes it, 5 schema, 6 document, 7 journal entry, then ids of what would undo it by itself.
local of, id = ARGV[3], ARGV[4]
local field = call('HMGET', rem(of), 'state', 'qk', 'rk')
if not field[1] then return 'gone' end
if call('EXISTS', rem(id)) == 1 then return 'again' end
if field[1] ~= 'done' then return 'not_done' end
for i = 8, #ARGV do forget_revert(ARGV[i]) end
create_undo(id, ARGV[6], ARGV[5], field[2], field[3] or '')
journal(id, ARGV[7])
tell(id, call('SMEMBERS', rem(of) .. ':inc'), 'undo_asked', cjson.decode(ARGV[7]).text)
return 'taken'
