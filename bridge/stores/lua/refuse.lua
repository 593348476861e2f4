-- Keep refused alerts, the newest first. ARGV: 3 key, 4 most, 5.. records.
for i = 5, #ARGV do redis.call('LPUSH', ARGV[3], ARGV[i]) end
redis.call('LTRIM', ARGV[3], 0, ARGV[4] - 1)
return 1
