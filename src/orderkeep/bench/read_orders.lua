-- For wrk: ask for the paths of a file, one a line, over and over; at the end print the figures as JSON.
-- wrk … -s read_orders.lua URL -- FILE

local requests = {}
local last = 0

function init(arguments)
   for path in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("GET", path)
   end
end

function request()
   last = last % #requests + 1
   return requests[last]
end

function done(summary, latency)
   local errors = summary.errors
   local lost = errors.connect + errors.read + errors.write + errors.timeout
   io.write(string.format(
      '\n{"requests": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "lost": %d, "refused": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), lost, errors.status
   ))
end
