"""The only user of redis: intake, queue, journal, locks, breakers. The Lua scripts stand beside them in lua/."""
