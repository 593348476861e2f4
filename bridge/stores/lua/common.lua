-- In front of every script but intake.lua: the clock, the journal and the decisions.
local call = redis.call
local P = ARGV[1]
local function text(number) return string.format('%.0f', number) end
local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
end
local NOW = now_ms()

-- Put the store's time into a JSON object: at its end, where it wins over one that is there already.
local function stamp(json)
  return string.sub(json, 1, -2) .. string.format(',"at":%.3f}', NOW / 1000)
end

-- The audit trail: what happened, in the order in which it did. A journal's entry is named, for a journal is only
-- ever appended to; what is changed or cut where it stands is kept whole. Ids are the server's own, so that a clock
-- that is set back refuses nothing.
local function trail(...)
  call('XADD', P .. 'audit', 'MAXLEN', '~', MAX_AUDIT, '*', 'at', text(NOW), ...)
end

-- What alertbridge decided about itself: in the trail as what a person does is.
local function by_itself(what, why, about, said)
  trail('o', cjson.encode({what = what, who = 'alertbridge', why = why, about = about, text = said}))
end

-- People are to be told of what becomes of it (notices), and pages that are held for it looked after (holds).
local function news(id)
  call('ZADD', P .. 'watch:notices', 'LT', text(NOW), id)
  call('ZADD', P .. 'watch:holds', 'XX', 'LT', text(NOW), id)
end

local function journal(id, json)
  local key = P .. 'journal:' .. id
  news(id)
  -- Beyond the bound of `journal_full` there is room for how it ends, and for what people do with it then.
  if call('LLEN', key) < MAX_JOURNAL + 500 then trail('r', id, 'n', text(call('RPUSH', key, stamp(json)) - 1)) end
end

-- A bound for a remediation gone wild; an ordinary one has some dozen entries. What is not journalled is not done.
local function journal_full(id) return call('LLEN', P .. 'journal:' .. id) >= MAX_JOURNAL end

-- Keep a decision about a fingerprint. One that repeats the last only moves its time; `first` says that none can.
local function decide(fingerprint, json, first)
  local key = P .. 'why:' .. fingerprint
  local last = not first and call('LINDEX', key, -1)
  if last and string.match(last, '^(.*),"at":[%d.]+}$') == string.sub(json, 1, -2) then
    call('LSET', key, -1, stamp(json))
  else
    trail('f', fingerprint, 'd', json)
    if call('RPUSH', key, stamp(json)) > MAX_DECISIONS then call('LTRIM', key, -MAX_DECISIONS, -1) end
  end
  call('EXPIRE', key, KEEP_DECISIONS)
end

local function dead_letter(json)
  call('LPUSH', P .. 'dead', stamp(json))
  call('LTRIM', P .. 'dead', 0, MAX_DEAD - 1)
end
