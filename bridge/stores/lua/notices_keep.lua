-- needs: common drain
-- Record one look at a remediation. ARGV: 3 list, 4 id, 5 version, 6 what is kept, 7 entries read, 8 when to look again
-- (ms; empty: with news), 9 another list to enter it in (or empty), 10 most messages of a channel, 11 what the names of
-- messages begin with that are out of date (JSON list), 12 what is remembered of the cause (JSON: cause, version, ms,
-- wake; or empty), 13 that, then for each message name, channel, JSON. What was decided by a memory that somebody else
-- has changed since is not kept, but looked at again at once.
local list, id, key = ARGV[3], ARGV[4], P .. 'told:' .. ARGV[4]
if (call('HGET', key, 'v:' .. list) or '0') ~= ARGV[5] then return 0 end
if ARGV[12] ~= '' then
  local memory = cjson.decode(ARGV[12])
  local cause = P .. 'cause:' .. memory.cause
  if (call('HGET', cause, 'v') or '0') ~= memory.version then
    call('ZADD', P .. 'watch:' .. list, text(NOW), id)
    return 0
  end
  -- A number that was never there before: this may have been forgotten and be new since.
  call('HSET', cause, 'v', text(call('INCR', P .. 'token')), 'doc', ARGV[13])
  call('PEXPIRE', cause, text(memory.ms))
  for _, other in ipairs(memory.wake) do
    if call('EXISTS', P .. 'told:' .. other) == 1 then
      call('ZADD', P .. 'watch:' .. list, 'LT', text(NOW), other)
    end
  end
end
call('HSET', key, 'v:' .. list, text(tonumber(ARGV[5]) + 1), 'doc:' .. list, ARGV[6])

local function state(name, channel, word, error)
  call('HSET', key, 's:' .. name, cjson.encode({name = name, channel = channel, state = word, at = NOW / 1000,
    error = error}))
end

-- A channel that is dead must not fill the memory: what waits longest goes.
local function bound(channel)
  local out = P .. 'outbox:' .. channel
  while call('ZCARD', out) > tonumber(ARGV[10]) do
    local other, name = string.match(call('ZPOPMIN', out)[1], '^(%S+) (.+)$')
    local told = P .. 'told:' .. other
    call('HDEL', told, 'm:' .. name, 'n:' .. name)
    if call('HEXISTS', told, 's:' .. name) == 1 then
      call('HSET', told, 's:' .. name, cjson.encode({name = name, channel = channel, state = 'lost', at = NOW / 1000,
        error = 'too many messages waited for this channel'}))
    end
  end
end

-- What was not sent yet and is out of date; before what is new, which may have such a name.
local old, fresh = cjson.decode(ARGV[11]), {}
for i = 14, #ARGV, 3 do fresh[ARGV[i]] = true end
for _, field in ipairs(#old > 0 and call('HKEYS', key) or {}) do
  local name = string.match(field, '^m:(.+)$')
  for _, begins in ipairs(old) do
    if name and not fresh[name] and string.sub(name, 1, #begins) == begins then
      local channel = cjson.decode(call('HGET', key, 's:' .. name)).channel
      call('ZREM', P .. 'outbox:' .. channel, id .. ' ' .. name)
      call('HDEL', key, 'm:' .. name, 'n:' .. name)
      state(name, channel, 'withdrawn', '')
      break
    end
  end
end

for i = 14, #ARGV, 3 do
  local name, channel = ARGV[i], ARGV[i + 1]
  if call('HEXISTS', key, 's:' .. name) == 0 then
    state(name, channel, 'waiting', '')
    call('HSET', key, 'm:' .. name, ARGV[i + 2])
    call('ZADD', P .. 'outbox:' .. channel, text(NOW), id .. ' ' .. name)
    call('SADD', P .. 'outboxes', channel)
    bound(channel)
  end
end
call('EXPIRE', key, KEEP_REMEDIATIONS)
if ARGV[9] ~= '' then call('ZADD', P .. 'watch:' .. ARGV[9], 'LT', text(NOW), id) end
if call('LLEN', P .. 'journal:' .. id) > tonumber(ARGV[7]) then
  call('ZADD', P .. 'watch:' .. list, text(NOW), id)
elseif ARGV[8] ~= '' then
  call('ZADD', P .. 'watch:' .. list, ARGV[8], id)
else
  call('ZREM', P .. 'watch:' .. list, id)
end
return 1
