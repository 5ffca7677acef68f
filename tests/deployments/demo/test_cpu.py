import os
import time

import pytest

from deployments.demo.cpu import CpuReading, cost_per_request, read_cpu


def reading(at_s: float, **cpu_s: float) -> CpuReading:
    return CpuReading(at_s=at_s, cpu_s={name.replace("_", ":"): value for name, value in cpu_s.items()})


def test_a_request_costs_its_replica_and_its_share_of_the_gateway() -> None:
    """100 and 50 requests: the replica's own time by its own requests, the rest by all of them."""
    busy = (
        reading(0, m_a=0, m_b=0, gateway=0, ray=1),
        reading(10, m_a=0.2, m_b=0.05, gateway=0.3, ray=3),
    )
    cost = cost_per_request(busy, (reading(10), reading(20)), {"m:a": 100, "m:b": 50})
    assert cost.gateway == pytest.approx(2)
    assert cost.variants == pytest.approx({"m:a": 4, "m:b": 3})
    assert cost.ray_per_s == pytest.approx(200)


def test_idle_work_is_not_charged_to_requests() -> None:
    """A replica that spends 10 ms a second on nothing does so under load too."""
    busy, idle = (reading(0, m_a=0), reading(20, m_a=0.2 + 0.5)), (reading(20, m_a=1), reading(30, m_a=1.1))
    assert cost_per_request(busy, idle, {"m:a": 100}).variants == pytest.approx({"m:a": 5})


def test_a_variant_without_requests_has_no_cost_per_request() -> None:
    """Nothing divided by nothing is not zero."""
    span = (reading(0, m_a=0, m_b=0), reading(1, m_a=1, m_b=1))
    assert set(cost_per_request(span, span, {"m:a": 5, "m:b": 0}).variants) == {"m:a"}


def test_reads_the_cpu_time_of_a_real_process() -> None:
    """Half a second of work shows as half a second; a process that is no replica counts as Ray's."""
    before = read_cpu(os.getpid(), 0)
    spent_s = time.process_time()
    while time.process_time() - spent_s < 0.5:
        pass
    after = read_cpu(os.getpid(), 1)
    # The system counts in steps of 10 ms.
    assert after.cpu_s["ray"] - before.cpu_s["ray"] >= 0.48
