"""Wrk: closed-loop load from C, for figures of CPU per request that no Python client should blur."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.record import Record

_MARK = "counterweight "
# On a machine that others share a healthy server can stand still for seconds.
_TIMEOUT_S = 30
# Everything that comes after the body. A latency is in microseconds, the duration too.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'MARK{"requests":%d,"duration_us":%d,"p50_us":%.1f,"p99_us":%.1f,"refused":%d,"broken":%d,"late":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write, e.timeout))
end
""".replace("MARK", _MARK)


class WrkResult(Record):
    """One run of wrk."""

    requests: int
    duration_us: int
    p50_us: float
    p99_us: float
    # Answers with a status of 400 or more.
    refused: int
    # Connections that failed.
    broken: int
    # Answers that did not come within the time limit.
    late: int


def find_wrk() -> str:
    """The program's path. Raises LoadTestError when it is not installed."""
    path = shutil.which("wrk")
    if path is None:
        raise LoadTestError("wrk is not installed; it is a Debian package: apt-get install wrk")
    return path


def run_wrk(url: str, body: bytes, *, connections: int, seconds: int) -> WrkResult:
    """Post `body` to `url` over and over. Raises LoadTestError when a single answer was an error."""
    # A level of brackets that the body does not hold: Lua takes everything in between as it is.
    level = "=" * next(n for n in range(1, 100) if f"]{'=' * n}]".encode() not in body)
    with tempfile.NamedTemporaryFile("wb", suffix=".lua") as script:
        script.write(b"wrk.body = [%b[%b]%b]\n" % (level.encode(), body, level.encode()))
        script.write(_SCRIPT.encode())
        script.flush()
        load = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{_TIMEOUT_S}s"]
        ended = subprocess.run(
            [find_wrk(), *load, "-s", script.name, url],
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
            cwd=Path(script.name).parent,
        )
    said = [line.removeprefix(_MARK) for line in ended.stdout.splitlines() if line.startswith(_MARK)]
    if not said:
        raise LoadTestError(f"wrk on {url} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    result = WrkResult.model_validate(json.loads(said[0]))
    if result.refused or result.broken or result.late or not result.requests:
        raise LoadTestError(
            f"invalid run on {url} with {connections} connections: of {result.requests} requests "
            f"{result.refused} were refused and {result.late} took over {_TIMEOUT_S} s, "
            f"{result.broken} connections broke; nothing can be compared with errors"
        )
    return result
