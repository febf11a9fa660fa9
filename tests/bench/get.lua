-- wrk script: GET of a path in which %d, if there is one, becomes a number from 1 to COUNT.
--   wrk … -s get.lua URL -- PATH [COUNT]
function init(args)
  count = tonumber(args[2] or 1)
  head = "GET " .. args[1] .. " HTTP/1.1\r\nHost: shop\r\n\r\n"
end

function request()
  return string.format(head, math.random(count))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%.3f,"refused":%d,"broken":%d,"p50_ms":%.2f,"p99_ms":%.2f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.timeout + errors.read + errors.connect,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
