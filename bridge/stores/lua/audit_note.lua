-- needs: common
-- What a person did. ARGV: 3 note.
trail('o', ARGV[3])
return 1
