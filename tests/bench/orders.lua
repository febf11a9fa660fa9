-- wrk script: POST /api/orders, one line each, an Idempotency-Key of its own for every order.
--   wrk … -s orders.lua URL -- FIRST_USER LAST_USER PRODUCTS [plain]
-- A product is a number from 1 to PRODUCTS: of the shop BENCH-0001 and so on, with `plain` the number itself.
local head = "POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: %s-%d\r\nContent-Length: %d\r\n\r\n%s"
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  first, last, products = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  body = '{"user_id":%d,"product_id":"BENCH-%04d","quantity":1}'
  if args[4] == "plain" then body = '{"user_id":%d,"product_id":%d,"quantity":1}' end
  local random = io.open("/dev/urandom", "rb")
  local bytes = random:read(8)
  random:close()
  prefix = number .. "-" .. bytes:gsub(".", function(c) return string.format("%02x", c:byte()) end)
  math.randomseed(bytes:byte(1) * 65536 + bytes:byte(2) * 256 + bytes:byte(3))
  n = 0
end

function request()
  n = n + 1
  local order = string.format(body, math.random(first, last), math.random(products))
  return string.format(head, prefix, n, #order, order)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%.3f,"refused":%d,"broken":%d,"p50_ms":%.2f,"p99_ms":%.2f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.timeout + errors.read + errors.connect,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
