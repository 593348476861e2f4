-- For scripts that carry on what was accepted before: they are let through when memory is full, so that running
-- work can end and give memory back. Redis asks at a script's first write, and asks DEL never.
redis.call('DEL', P .. 'nothing')
