-- needs: common remediation
-- What the entry guards need. ARGV: 3 id, 4 runs key.
return {
  text(NOW),
  call('HVALS', P .. 'pauses'),
  call('GET', P .. 'ran:' .. ARGV[4]),
  call('LRANGE', P .. 'runs:' .. ARGV[4], 0, -1),
  call('SCARD', rem(ARGV[3]) .. ':open'),
}
