-- The intake: what became of each alert of a batch, and one stream entry with those that are work.
-- KEYS[1] the stream; ARGV: 1 prefix of the buckets, 2 key of the counter, 3 clock offset (ms), 4 skew (s),
-- 5 refresh (s), 6 most entries that may wait, 7 schema, 8 how many alerts, 9 what is known of each (31 bytes:
-- bucket 2, field 12, fires 1, start 8, end 8), 10 the alerts as JSON, one a line.
-- A record has 25 bytes: state (o open, c closed, h held), start, end of the last resolve, last seen, held since.
-- Runs for every alert that comes in: shared preludes are left out, and calls and strings are counted.
local call, sub, concat, floor = redis.call, string.sub, table.concat, math.floor
local pack, unpack = struct.pack, struct.unpack
local stream, prefix, meta, count = KEYS[1], ARGV[1], ARGV[9], tonumber(ARGV[8])
local skew, refresh = tonumber(ARGV[4]), tonumber(ARGV[5])

if call('XLEN', stream) >= tonumber(ARGV[6]) then
  return redis.error_reply('BACKLOG too many alerts wait for a dispatcher')
end
local time = call('TIME')
local now = time[1] + time[2] / 1000000 + tonumber(ARGV[3]) / 1000
local today = floor(now)

-- The first write, and the one that fails when memory is full. Nothing after it can fail: the stream's type was
-- seen above, and a record of another length is taken for none. So what is remembered as seen is stored as work.
local seq
local function begin()
  seq = call('INCRBY', ARGV[2], count) - count
end

local letters, new, total = {}, {}, 0
-- An alert is mostly like the one before it: where that was new, writing first saves a call.
local fresh = false
local pos = 1
for i = 1, count do
  local bucket, field, fires, start, stop
  bucket, field, fires, start, stop, pos = unpack('>c2c12Bdd', meta, pos)
  local key = prefix .. bucket
  local letter, record
  if fires == 1 and fresh then
    if not seq then begin() end
    if call('HSETNX', key, field, pack('>c1ddI4I4', 'o', start, 0, today, 0)) == 1 then letter = 'N' end
  end
  if not letter then
    record = call('HGET', key, field)
    local known = record and #record == 25
    local change, state, began, ended, seen, held = true
    if known then
      state, began, ended, seen, held = unpack('>c1ddI4I4', record)
    end
    letter = 'D'
    if fires == 1 then
      if not known then
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
      else
        if start > began then began = start end
        if today - held > skew then
          letter, state, held = 'O', 'o', 0
        else
          letter = 'H'
        end
      end
    else
      if stop == 0 then stop = floor(now * 1000000) end
      if not known then
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
      if not seq then begin() end
      call('HSET', key, field, pack('>c1ddI4I4', state, began, ended, today, held))
    end
  end
  letters[i] = letter
  fresh = letter == 'N'
  if fresh or letter == 'R' or letter == 'S' or letter == 'O' then
    total = total + 1
    new[total] = i
  end
end

local answer = concat(letters)
if total > 0 then
  local lines, marks = ARGV[10], answer
  if total < count then
    local kept, stored, want, at, nr = {}, {}, 1, 1, 0
    while want <= total do
      local stop = string.find(lines, '\n', at, true) or #lines + 1
      nr = nr + 1
      if nr == new[want] then
        kept[want], stored[want] = sub(lines, at, stop - 1), letters[nr]
        want = want + 1
      end
      at = stop + 1
    end
    lines, marks = concat(kept, '\n'), concat(stored)
  end
  call('XADD', stream, '*', 'v', ARGV[7], 'at', string.format('%.3f', now), 's', seq + 1, 'm', marks, 'a', lines)
end
return answer
