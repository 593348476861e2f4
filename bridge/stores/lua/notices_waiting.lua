-- needs: common
-- How many messages wait, by channel.
local found = {}
for _, channel in ipairs(call('SMEMBERS', P .. 'outboxes')) do
  found[#found + 1] = channel
  found[#found + 1] = call('ZCARD', P .. 'outbox:' .. channel)
end
return found
