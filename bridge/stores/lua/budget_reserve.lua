-- needs: common drain remediation
-- Ask the disruption budget, and reserve when it has room. ARGV: 3 id, 4 token, 5 key of the plan, 6 "look", "reserve"
-- or "force", 7 rules as JSON (w window in ms, h halt_after, l limits {s, t, p, n}), 8 what is to be spent as JSON
-- ({s scopes, t target, w workload, p percent, n node}), 9 "1" when nothing of the run was written: then what it had
-- reserved before, under whatever key, was for a plan that is not made.
-- budget         hash: remediation -> when it was settled (ms; 0: its run is under way), a space, and as JSON what each
--                of its plans spends. What is open counts for as long as it is; settled, for the window.
-- budget:wanted  sorted set: target -> when it was last to be disturbed, granted or not
local id, key, how = ARGV[3], ARGV[5], ARGV[6]
if how ~= 'look' and not owned(id, ARGV[4]) then return {'lost'} end
local rules, spends = cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
local window = rules.w
local BUDGET, WANTED = P .. 'budget', P .. 'budget:wanted'

-- What counts now, soonest to be over first; and what the other plans of this run spend: that counts as well, and is
-- never over before the run is.
local items, mine, own = {}, {}, {}
local flat = call('HGETALL', BUDGET)
for i = 1, #flat, 2 do
  local at, json = string.match(flat[i + 1], '^(%d+) (.*)$')
  at = tonumber(at)
  if at > 0 and at + window <= NOW then
    -- A longer window may come with a reload.
    if how ~= 'look' and at + math.max(window, 3600000) <= NOW then call('HDEL', BUDGET, flat[i]) end
  else
    local lines, plans = {}, cjson.decode(json)
    if flat[i] == id then
      if ARGV[9] ~= '1' then mine = plans end
      mine[key], lines = nil, own
      plans = mine
    else
      items[#items + 1] = {over = (at > 0 and at or NOW) + window, lines = lines}
    end
    for _, spent in pairs(plans) do
      for _, spend in ipairs(spent) do lines[#lines + 1] = spend end
    end
  end
end
table.sort(items, function(a, b) return a.over < b.over end)

local function within(spend, scope)
  for _, name in ipairs(spend.s) do
    if name == scope then return true end
  end
  return false
end

-- What is spent in a scope by the items from `first` on, with or without what is asked for.
local function sum(scope, first, also)
  local found = {targets = {}, nodes = {}, percent = {}, t = 0, n = 0}
  local function add(spend)
    if not within(spend, scope) then return end
    if spend.t ~= '' and not found.targets[spend.t] then found.targets[spend.t], found.t = true, found.t + 1 end
    if spend.n ~= '' and not found.nodes[spend.n] then found.nodes[spend.n], found.n = true, found.n + 1 end
    if spend.w ~= '' then found.percent[spend.w] = (found.percent[spend.w] or 0) + spend.p end
  end
  for _, spend in ipairs(own) do add(spend) end
  for i = first, #items do
    for _, spend in ipairs(items[i].lines) do add(spend) end
  end
  if also then
    for _, spend in ipairs(spends) do add(spend) end
  end
  return found
end

-- The first limit that has no room, were only the items from `first` on there; nil when all have.
local function full(first)
  for _, limit in ipairs(rules.l) do
    local before, after = sum(limit.s, first, false), sum(limit.s, first, true)
    -- Only what this plan adds to can stand in its way.
    if limit.t and after.t > limit.t and after.t > before.t then
      return {limit.s, 'targets', before.t, after.t, limit.t}
    end
    if limit.n and after.n > limit.n and after.n > before.n then
      return {limit.s, 'nodes', before.n, after.n, limit.n}
    end
    if limit.p then
      for _, spend in ipairs(spends) do
        local used, all = before.percent[spend.w] or 0, after.percent[spend.w] or 0
        if spend.w ~= '' and all > limit.p + 0.001 and all > used then
          return {limit.s, 'percent of ' .. spend.w, used, all, limit.p}
        end
      end
    end
  end
  return nil
end

if how ~= 'look' and #spends > 0 then
  call('ZREMRANGEBYSCORE', WANTED, '-inf', text(NOW - window))
  for _, spend in ipairs(spends) do
    if spend.t ~= '' then call('ZADD', WANTED, text(NOW), spend.t) end
  end
  call('PEXPIRE', WANTED, text(window))
  local wanted = call('ZCARD', WANTED)
  if rules.h and wanted > rules.h and how ~= 'force' then
    local paused = call('HGET', P .. 'pauses', 'all')
    if not paused or tonumber(cjson.decode(paused)['until']) then
      local why = string.format('%d targets were to be disturbed within %d s (halt_after is %d)', wanted,
        window / 1000, rules.h)
      call('HSET', P .. 'pauses', 'all', cjson.encode({scope = 'all', by = 'alertbridge', why = why, since = NOW / 1000}))
      by_itself('pause', why, 'all')
    end
    local how_so = (not paused or tonumber(cjson.decode(paused)['until'])) and 'halted' or 'paused'
    return {how_so, '', 'targets', text(wanted - 1), text(wanted), text(rules.h), ''}
  end
end

local lack = full(1)
if lack and how ~= 'force' then
  local retry = ''
  -- The fewest of the items that have to be over; with each that goes there is more room.
  if not full(#items + 1) then
    local low, high = 2, #items + 1
    while low < high do
      local middle = math.floor((low + high) / 2)
      if full(middle) then low = middle + 1 else high = middle end
    end
    retry = text(math.ceil(items[low - 1].over))
  end
  for i = 3, 5 do lack[i] = string.format('%.1f', lack[i]) end
  return {'full', lack[1], lack[2], lack[3], lack[4], lack[5], retry}
end
if how ~= 'look' then
  if #spends > 0 then mine[key] = spends end
  if next(mine) then call('HSET', BUDGET, id, '0 ' .. cjson.encode(mine)) else call('HDEL', BUDGET, id) end
end
return {'granted'}
