-- What wrk sends, and what it says at the end: requests, seconds, p50 and p99 in ms, connections that failed.
wrk.method = "POST"
wrk.body = io.open(os.getenv("BENCH_BODY"), "rb"):read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-GitHub-Event"] = "push"
wrk.headers["X-Hub-Signature-256"] = os.getenv("BENCH_SIGNATURE")

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %f %f %f %d\n",
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
