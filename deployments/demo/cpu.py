"""CPU: what the server's processes cost, by role, and what of it a request costs."""

from collections.abc import Mapping

from deployments.meter import read_processes
from serve.record import Record

GATEWAY = "gateway"
# Everything else: the keeper, and what Ray runs: controller, raylet, agents.
RAY = "ray"


class CpuReading(Record):
    """CPU seconds spent so far, by role; a variant's role is `model:variant`."""

    at_s: float
    cpu_s: Mapping[str, float]


# What was read at the start of a stretch of time, and at its end.
Span = tuple[CpuReading, CpuReading]


class CpuCost(Record):
    """What one request costs, idle work of the same processes taken off. All in CPU ms."""

    # Its variant's replica, and its share of the gateway.
    variants: Mapping[str, float]
    gateway: float
    # The other processes: not caused by requests, so per second instead of per request.
    ray_per_s: float


def read_cpu(pid: int, at_s: float) -> CpuReading:
    """The CPU time of the server `pid` and of all its processes, as of the moment `at_s`."""
    cpu_s: dict[str, float] = {}
    # The demo's names hold no dots.
    for _, part, spent_s, _ in read_processes(pid, known={}):
        role = f"{part.model}:{part.variant}" if part.name == "variant" else part.name
        role = RAY if role == "keeper" else role
        cpu_s[role] = cpu_s.get(role, 0.0) + spent_s
    return CpuReading(at_s=at_s, cpu_s=cpu_s)


def cost_per_request(busy: Span, idle: Span, requests: Mapping[str, int]) -> CpuCost:
    """The cost of a request, from a span with load, in which these `requests` came (by role of the
    variant), and a span without."""
    spent_ms = {
        role: 1e3 * _spent_s(busy, role) - _length_s(busy) * _rate(idle, role) for role in busy[1].cpu_s
    }
    total = max(1, sum(requests.values()))
    gateway = max(0.0, spent_ms.get(GATEWAY, 0.0)) / total
    variants = {
        role: gateway + max(0.0, spent_ms.get(role, 0.0)) / count for role, count in requests.items() if count
    }
    return CpuCost(variants=variants, gateway=gateway, ray_per_s=_rate(busy, RAY))


def _rate(span: Span, role: str) -> float:
    """CPU ms per second."""
    return 1e3 * _spent_s(span, role) / _length_s(span)


def _spent_s(span: Span, role: str) -> float:
    return span[1].cpu_s.get(role, 0.0) - span[0].cpu_s.get(role, 0.0)


def _length_s(span: Span) -> float:
    return span[1].at_s - span[0].at_s
