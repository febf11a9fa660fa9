-- wrk script: orders of many users and products, one line each.
local n = 0
function setup(thread) thread:set("seed", math.floor(os.clock() * 1e6)) end
function init(args)
  products = {}
  for id in args[1]:gmatch("[^,]+") do products[#products + 1] = id end
  users = tonumber(args[2])
  math.randomseed(seed)
end
function request()
  n = n + 1
  local body = string.format('{"user_id":%d,"product_id":"%s","quantity":1}', math.random(users), products[math.random(#products)])
  return wrk.format("POST", "/api/orders", {["Content-Type"] = "application/json"}, body)
end
function done(summary, latency)
  io.write(string.format('{"requests":%d,"seconds":%.3f,"errors":%d,"p50_ms":%.2f,"p99_ms":%.2f}\n', summary.requests,
    summary.duration / 1e6, summary.errors.status + summary.errors.timeout + summary.errors.read + summary.errors.connect,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
