from collections.abc import Callable

import pytest

from loadtests.judging.limits import Limits
from loadtests.judging.request_cost import CpuReading, read_meter, reckon
from loadtests.sending.client import Client
from tests.loadtests.stub_server import Answers

_LIMITS = Limits()
_PRICED = Limits(price_per_cpu_hour=0.036)
# The counters after some start-up, and the memory of the processes.
_BEFORE = """\
# HELP counterweight_requests_total Requests.
# TYPE counterweight_requests_total counter
counterweight_requests_total{model="digits",variant="fp32"} 10
counterweight_requests_total{model="other",variant="fp32"} 5
# TYPE counterweight_run_cpu_seconds_total counter
counterweight_run_cpu_seconds_total{model="digits",variant="fp32"} 1
# TYPE counterweight_process_cpu_seconds_total counter
counterweight_process_cpu_seconds_total{part="gateway"} 4
counterweight_process_cpu_seconds_total{part="keeper"} 1
counterweight_process_cpu_seconds_total{part="ray"} 7
counterweight_process_cpu_seconds_total{part="variant",model="digits",variant="fp32"} 3
# TYPE counterweight_process_resident_memory_bytes gauge
counterweight_process_resident_memory_bytes{part="gateway"} 1000
counterweight_process_resident_memory_bytes{part="ray"} 500
"""
# The counters after 1,000 more requests to fp32 and 500 to int8: 2 s of runs in 3 s of fp32's own process,
# 0.4 s of runs of int8 inside the gateway, which spent 3.4 s, and 0.75 s of keeper and Ray.
_AFTER = """\
counterweight_requests_total{model="digits",variant="fp32"} 1010
counterweight_requests_total{model="digits",variant="int8"} 500
counterweight_requests_total{model="other",variant="fp32"} 5
counterweight_run_cpu_seconds_total{model="digits",variant="fp32"} 3
counterweight_run_cpu_seconds_total{model="digits",variant="int8"} 0.4
counterweight_process_cpu_seconds_total{part="gateway"} 7.4
counterweight_process_cpu_seconds_total{part="keeper"} 1.25
counterweight_process_cpu_seconds_total{part="ray"} 7.5
counterweight_process_cpu_seconds_total{part="variant",model="digits",variant="fp32"} 6
"""

Desk = Callable[[Answers], str]


def _read(desk: Desk, text: str) -> CpuReading:
    meter = read_meter(Client(url=desk({"/metrics": (200, text)})))
    assert meter is not None
    return meter


def test_a_meter_is_read_from_the_servers_metrics(desk: Desk) -> None:
    """The meter has requests by model and variant, and CPU time by variant, gateway and other processes."""
    meter = _read(desk, _BEFORE)
    assert meter.requests == {("digits", "fp32"): 10, ("other", "fp32"): 5}
    assert (meter.runs_s, meter.variants_s) == ({("digits", "fp32"): 1}, {("digits", "fp32"): 3})
    assert (meter.gateways_s, meter.others_s, meter.memory_bytes) == (4, 8, 1500)


@pytest.mark.parametrize("text", ["", "up 1\n", "<html>", "{{{"])
def test_a_server_that_does_not_tell_has_no_meter(desk: Desk, text: str) -> None:
    """A server without these metrics, or without a /metrics page, has no reading."""
    assert read_meter(Client(url=desk({"/metrics": (200, text)}))) is None
    assert read_meter(Client(url=desk({}))) is None


def test_cost_is_split_by_where_it_was_spent(desk: Desk) -> None:
    """The CPU time of a request is split into model, gateway and proxy.

    fp32 has its own process: 2 ms of runs and 1 ms around them. int8 runs in the gateway: 0.8 ms. The
    gateway's other 3.0 s, and the 0.75 s of keeper and Ray, are shared by 1,500 requests."""
    costs = reckon(_read(desk, _BEFORE), _read(desk, _AFTER), "digits", 0.0015, _LIMITS)
    apart, inside = costs["fp32"], costs["int8"]
    assert [apart.model_s, apart.gateway_s, apart.proxy_s] == pytest.approx([2, 2, 1.5])
    assert [inside.model_s, inside.gateway_s, inside.proxy_s] == pytest.approx([0.8, 2, 0.5])
    assert apart.client_s == inside.client_s == pytest.approx(1.5)
    assert apart.price_per_million is None


def test_the_price_leaves_out_the_client(desk: Desk) -> None:
    """The price counts 5.5 ms a request without the client: at 0.036 an hour a million cost 0.055."""
    costs = reckon(_read(desk, _BEFORE), _read(desk, _AFTER), "digits", 0.0015, _PRICED)
    assert costs["fp32"].price_per_million == pytest.approx(0.055)


def test_a_variant_without_requests_has_no_cost(desk: Desk) -> None:
    """A variant without requests in the run has no cost."""
    before, after = _read(desk, _BEFORE), _read(desk, _AFTER)
    assert reckon(before, after, "other", 0, _LIMITS) == {}
    assert reckon(before, before, "digits", 0, _LIMITS) == {}


def test_a_process_that_was_replaced_is_no_gain(desk: Desk) -> None:
    """A counter that restarts gives a cost of 0, and no negative one."""
    after = _AFTER.replace("} 6\n", "} 0.1\n").replace('{part="gateway"} 7.4', '{part="gateway"} 0.2')
    cost = reckon(_read(desk, _BEFORE), _read(desk, after), "digits", 0, _LIMITS)["fp32"]
    assert [cost.gateway_s, cost.proxy_s] == pytest.approx([0, 0.5])
