-- needs: common drain remediation
-- Somebody takes a remediation on; the first one stays. ARGV: 3 id, 4 JSON, 5 journal entry. Returns who has.
local key = P .. 'told:' .. ARGV[3]
if call('EXISTS', rem(ARGV[3])) == 0 then return false end
if call('HSETNX', key, 'ack', stamp(ARGV[4])) == 1 then
  -- A look that began before this is not kept: it saw nobody.
  call('HINCRBY', key, 'v:notices', 1)
  call('EXPIRE', key, KEEP_REMEDIATIONS)
  journal(ARGV[3], ARGV[5])
end
return call('HGET', key, 'ack')
