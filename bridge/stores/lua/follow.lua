-- needs: common remediation
-- Journal entries from an index on. ARGV: 3 id, 4 index. The state is read in the same script, so that "done"
-- comes with the last entry.
return {call('HGET', rem(ARGV[3]), 'state'), call('LRANGE', P .. 'journal:' .. ARGV[3], ARGV[4], -1)}
