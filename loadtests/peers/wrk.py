"""Sends load with wrk, which costs so little that it does not distort the measurement, in a closed loop or at
a steady rate."""

import json
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from string import Template

from loadtests.errors import LoadTestError
from serve.base.record import Record

_MARK = "counterweight "
# On a shared machine, a healthy server can stall for seconds.
_TIMEOUT_S = 30
# When the time is over, the script sends no more requests and wrk ends after the last answer, so all of the
# server's work is counted. At a rate, the connections take turns with the next due time.
_SCRIPT = Template("""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = $body
local seconds, connections, rate_per_s = $seconds, $connections, $rate_per_s
local ffi = require("ffi")
ffi.cdef[[
  struct moment { long s; long ns; };
  int clock_gettime(int, struct moment *); int kill(int, int); int getpid();
]]
local moment, SIGINT = ffi.new("struct moment"), 2
local function now()
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.s) + tonumber(moment.ns) / 1e9
end
math.randomseed(0)
local started_s, due_s, resting = nil, nil, 0
span_s, late_s = 0, 0
function delay()
  local at_s = now()
  started_s = started_s or at_s
  due_s = rate_per_s > 0 and (due_s or started_s) - math.log(1 - math.random()) / rate_per_s or at_s
  if math.max(at_s, due_s) - started_s >= seconds then
    resting, span_s = resting + 1, at_s - started_s
    if resting == connections then ffi.C.kill(ffi.C.getpid(), SIGINT) end
    return 1e9
  end
  late_s = math.max(late_s, at_s - due_s)
  return math.max(0, (due_s - at_s) * 1000)
end
local thread
function setup(only) thread = only end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '$mark{"requests":%d,"span_s":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"late_s":%.3f,"refused":%d,"broken":%d,"slow":%d}\\n',
    summary.requests, thread:get("span_s"), latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    thread:get("late_s"), e.status, e.connect + e.read + e.write, e.timeout))
end
""")


class WrkResult(Record):
    """The result of one run of wrk."""

    requests: int
    # From the first request to the last answer.
    span_s: float
    p50_ms: float
    p99_ms: float
    # Delay of the latest request because no connection was free.
    late_s: float
    # Answers with a status of 400 or more.
    refused: int
    # Connections that failed.
    broken: int
    # Answers that did not arrive within the time limit.
    slow: int
    # CPU time of wrk itself.
    cpu_s: float


def find_wrk() -> str:
    """Return the path of wrk. Raises LoadTestError if it is not installed."""
    path = shutil.which("wrk")
    if path is None:
        raise LoadTestError("wrk is not installed; it is a Debian package: apt-get install wrk")
    return path


def run_wrk(
    url: str, body: bytes, *, connections: int, seconds: float, rate_per_s: float | None = None
) -> WrkResult:
    """Post `body` to `url` repeatedly, in a closed loop or at random moments with an average of `rate_per_s`.

    Raises LoadTestError if any answer is an error."""
    # A level of Lua brackets that does not occur in the body, so Lua takes the body literally.
    level = "=" * next(n for n in range(1, 100) if f"]{'=' * n}]".encode() not in body)
    text = _SCRIPT.substitute(
        body=f"[{level}[{body.decode()}]{level}]",
        seconds=seconds,
        connections=connections,
        rate_per_s=rate_per_s or 0,
        mark=_MARK,
    )
    before_s = _children_cpu_s()
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(text)
        script.flush()
        lines = _run(["-t1", f"-c{connections}", "-s", script.name, url], int(seconds + _TIMEOUT_S + 1))
    result = WrkResult.model_validate({**lines, "cpu_s": _children_cpu_s() - before_s})
    if result.refused or result.broken or result.slow or not result.requests:
        raise LoadTestError(
            f"invalid run on {url} with {connections} connections: of {result.requests} requests "
            f"{result.refused} were refused and {result.slow} took over {_TIMEOUT_S} s, "
            f"{result.broken} connections broke; nothing can be compared with errors"
        )
    return result


def _run(arguments: list[str], longest_s: int) -> dict[str, float]:
    command = [find_wrk(), f"-d{longest_s}s", "--timeout", f"{_TIMEOUT_S}s", *arguments]
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=longest_s + 60,
            check=False,
            cwd=Path(tempfile.gettempdir()),
        )
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"wrk on {arguments[-1]} did not end within {longest_s + 60} s") from None
    lines = [line.removeprefix(_MARK) for line in ended.stdout.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise LoadTestError(
            f"wrk on {arguments[-1]} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
        )
    figures: dict[str, float] = json.loads(lines[0])
    return figures


def _children_cpu_s() -> float:
    # CPU time of children that have ended, which excludes the servers.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
