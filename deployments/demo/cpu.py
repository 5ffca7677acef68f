"""CPU: what the server's processes cost, by role, and what of it a request costs."""

from collections.abc import Mapping

import psutil

from deployments.processes import descendants
from serve.record import Record

GATEWAY = "gateway"
PROXY = "proxy"
# Everything else that Ray runs: controller, raylet, agents.
RAY = "ray"
_REPLICA = "ServeReplica:counterweight:"


class CpuReading(Record):
    """CPU seconds spent so far, by role; a variant's role is `model:variant`."""

    at_s: float
    cpu_s: Mapping[str, float]


class CpuCost(Record):
    """What one request costs, idle work of the same processes taken off. All in CPU ms."""

    # Its variant's replica, and its share of gateway and proxy.
    variants: Mapping[str, float]
    gateway: float
    proxy: float
    # Ray's own processes: not caused by requests, so per second instead of per request.
    ray_per_s: float


def read_cpu(pid: int, at_s: float) -> CpuReading:
    """The CPU time of the server `pid` and of all its processes, as of the moment `at_s`."""
    cpu_s: dict[str, float] = {}
    for process in [psutil.Process(pid), *descendants(pid)]:
        try:
            role, times = _role(" ".join(process.cmdline())), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        cpu_s[role] = cpu_s.get(role, 0.0) + times.user + times.system
    return CpuReading(at_s=at_s, cpu_s=cpu_s)


def cost_per_request(
    readings: tuple[CpuReading, CpuReading, CpuReading], requests: Mapping[str, int]
) -> CpuCost:
    """The cost of requests between the second and the third reading; the server was idle before the second.

    `requests` counts them by role of the variant."""
    start, idle, end = readings
    duration_s = end.at_s - idle.at_s
    spent_ms = {
        role: 1e3
        * (_between(idle, end, role) - duration_s * _between(start, idle, role) / (idle.at_s - start.at_s))
        for role in end.cpu_s
    }
    total = sum(requests.values())
    gateway, proxy = (max(0.0, spent_ms.get(role, 0.0)) / max(1, total) for role in (GATEWAY, PROXY))
    variants = {
        role: gateway + proxy + max(0.0, spent_ms.get(role, 0.0)) / count
        for role, count in requests.items()
        if count
    }
    ray_per_s = 1e3 * _between(idle, end, RAY) / duration_s
    return CpuCost(variants=variants, gateway=gateway, proxy=proxy, ray_per_s=ray_per_s)


def _between(first: CpuReading, second: CpuReading, role: str) -> float:
    return second.cpu_s.get(role, 0.0) - first.cpu_s.get(role, 0.0)


def _role(command: str) -> str:
    if _REPLICA in command:
        return command.split(_REPLICA, 1)[1].split(maxsplit=1)[0]
    if "haproxy" in command.lower() or "ProxyActor" in command:
        return PROXY
    return RAY
