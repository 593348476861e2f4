-- needs: common drain
-- Set one alert of an entry aside. ARGV: 3 fingerprint or empty, 4 record, 5 decision or empty.
dead_letter(ARGV[4])
if ARGV[3] ~= '' then decide(ARGV[3], ARGV[5]) end
return 1
