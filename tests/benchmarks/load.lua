-- What wrk sends: webhooks as Alertmanager's, with `args[1]` alerts each. `args[2]`: "unique" makes every alert of
-- every request another one, "again" sends the same thousand over and over. `args[3]` tells runs apart.
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

local alert = '{"status":"firing","labels":{"alertname":"PodCrashLooping","cluster":"dev","container":"web",'
  .. '"namespace":"shop","pod":"web-@@@@@@@@@@@@-%04d","severity":"critical"},"annotations":{"runbook_url":'
  .. '"https://runbooks.example/crashloop","summary":"Pod web is crash looping"},"startsAt":"2026-11-20T18:43:07Z",'
  .. '"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prom.example/graph?g0.expr=x",'
  .. '"fingerprint":"@@@@@@@@@@@@%04x"}'
local head = '{"receiver":"alertbridge","status":"firing","alerts":['
local tail = '],"groupLabels":{"alertname":"PodCrashLooping"},"commonLabels":{"alertname":"PodCrashLooping",'
  .. '"cluster":"dev"},"commonAnnotations":{},"externalURL":"http://alertmanager.example:9093","version":"4",'
  .. '"groupKey":"{}:{alertname=\\"PodCrashLooping\\"}","truncatedAlerts":0}'

local template, again, count, run

function init(args)
  local alerts = {}
  for i = 1, tonumber(args[1]) do alerts[i] = alert:format(i, i) end
  template = head .. table.concat(alerts, ",") .. tail
  again = args[2] == "again"
  run = tonumber(args[3])
  count = 0
  wrk.method = "POST"
  wrk.path = "/webhook"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. args[4]
end

function request()
  count = count + 1
  local number = string.format("%02x%02x%08x", run % 256, again and 0 or id, again and count % 1000 or count)
  return wrk.format(nil, nil, nil, (template:gsub("@@@@@@@@@@@@", number)))
end

function done(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %.3f %.3f %.3f\n", summary.requests, summary.duration,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
