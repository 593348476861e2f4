-- The intake: what became of each alert of a batch, and one stream entry with those that are work.
-- KEYS[1] the stream; ARGV: 1 prefix of the buckets, 2 key of the counter, 3 clock offset (ms), 4 skew (s),
-- 5 refresh (s), 6 most entries that may wait, 7 schema, 8 what is known of each alert (31 bytes each: bucket 2,
-- field 12, fires 1, start 8, end 8), 9 the alerts as JSON, one a line.
-- A record is 30 bytes: state (o open, c closed, h held), start, end of the last resolve, last seen, held since.
-- Shared preludes are left out on purpose: this script runs for every alert that comes in.
local call, sub, concat, floor = redis.call, string.sub, table.concat, math.floor
local pack, unpack = struct.pack, struct.unpack
local prefix, meta = ARGV[1], ARGV[8]
local skew, refresh = tonumber(ARGV[4]), tonumber(ARGV[5])

if call('XLEN', KEYS[1]) >= tonumber(ARGV[6]) then
  return redis.error_reply('BACKLOG too many alerts wait for a dispatcher')
end
local time = call('TIME')
local now = time[1] + time[2] / 1000000 + tonumber(ARGV[3]) / 1000
local today = floor(now)

local known, place, buckets, fields, records, writes = {}, {}, {}, {}, {}, 0
local letters, new, count = {}, {}, 0

local pos, size = 1, #meta
while pos <= size do
  local id = sub(meta, pos, pos + 13)
  local fires, start, stop = unpack('>Bdd', meta, pos + 14)
  pos = pos + 31
  local record = known[id]
  if record == nil then
    record = call('HGET', prefix .. sub(id, 1, 2), sub(id, 3))
  end
  local state, began, ended, seen, held
  if record then
    state, began, ended, seen, held = unpack('>c1ddI4I4', record)
  end
  local letter, change = 'D', true
  if fires == 1 then
    if not record then
      letter, state, began, ended, held = 'N', 'o', start, 0, 0
    elseif state == 'o' then
      if start > began then
        letter, began = 'S', start
      else
        change = today - seen >= refresh
      end
    elseif start > ended then
      letter, state, began, held = 'N', 'o', start, 0
    elseif state == 'c' then
      letter, state, began, held = 'H', 'h', start, today
    elseif today - held > skew then
      letter, state, held = 'O', 'o', 0
      if start > began then began = start end
    else
      letter = 'H'
      if start > began then began = start end
    end
  else
    if stop == 0 then stop = floor(now * 1000000) end
    if not record then
      letter, state, began, ended, held = 'T', 'c', start, stop, 0
    elseif state == 'o' then
      -- After a reopening the resolve that came before it may be sent again: it says nothing new.
      if stop >= began and stop > ended then
        letter, state, ended = 'R', 'c', stop
      else
        letter, change = 'L', today - seen >= refresh
      end
    elseif stop > ended then
      state, ended, held = 'c', stop, 0
    else
      change = today - seen >= refresh
    end
  end
  if change then
    record = pack('>c1ddI4I4', state, began, ended, today, held)
    known[id] = record
    local at = place[id]
    if not at then
      writes = writes + 1
      at = writes
      place[id] = at
      buckets[at], fields[at] = prefix .. sub(id, 1, 2), sub(id, 3)
    end
    records[at] = record
  end
  count = count + 1
  letters[count] = letter
  if letter == 'N' or letter == 'R' or letter == 'S' or letter == 'O' then
    new[#new + 1] = count
  end
end

local total = #new
if total > 0 then
  local lines = ARGV[9]
  if total < count then
    local kept, want, at, nr = {}, 1, 1, 0
    while want <= total do
      local stop = string.find(lines, '\n', at, true) or #lines + 1
      nr = nr + 1
      if nr == new[want] then
        kept[want] = sub(lines, at, stop - 1)
        want = want + 1
      end
      at = stop + 1
    end
    lines = concat(kept, '\n')
  end
  local seq = call('INCRBY', ARGV[2], total) - total
  local marks = {}
  for i = 1, total do
    marks[i] = pack('>c1d', letters[new[i]], seq + i)
  end
  -- Before the records: nothing is remembered as seen that was not stored for work.
  call('XADD', KEYS[1], '*', 'v', ARGV[7], 'at', string.format('%.3f', now), 'm', concat(marks), 'a', lines)
end
for i = 1, writes do
  call('HSET', buckets[i], fields[i], records[i])
end
return concat(letters)
