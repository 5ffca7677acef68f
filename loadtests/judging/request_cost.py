"""Computes the CPU time per request, by component, from the server's `/metrics`."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from loadtests.errors import LoadTestError
from loadtests.judging.limits import Limits
from loadtests.sending.client import Client
from loadtests.variant_report import RequestCost

_PREFIX = "counterweight_"
_REQUESTS = "requests_total"
_RUNS = "run_cpu_seconds_total"
_PROCESSES = "process_cpu_seconds_total"
_MEMORY = "process_resident_memory_bytes"


@dataclass(frozen=True, kw_only=True)
class CpuReading:
    """The counters of a server at one moment, in CPU seconds; per (model, variant) where they have such
    labels."""

    requests: Mapping[tuple[str, str], float]
    runs_s: Mapping[tuple[str, str], float]
    # CPU time of the variants that run in their own process; other variants run inside the gateways.
    variants_s: Mapping[tuple[str, str], float]
    gateways_s: float
    # CPU time of the keeper and of Ray's own processes.
    others_s: float
    memory_bytes: int


def read_meter(client: Client) -> CpuReading | None:
    """Read the server's counters; None if the server does not report them."""
    try:
        text = client.text("/metrics")
        samples = [
            (sample.name.removeprefix(_PREFIX), sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except (LoadTestError, ValueError):
        return None
    processes = [(labels, value) for name, labels, value in samples if name == _PROCESSES]
    if not processes:
        return None

    def by_variant(wanted: str) -> dict[tuple[str, str], float]:
        return {
            (labels["model"], labels["variant"]): value
            for name, labels, value in samples
            if name == wanted and "variant" in labels
        }

    def of_part(*parts: str) -> float:
        return sum(value for labels, value in processes if labels.get("part") in parts)

    return CpuReading(
        requests=by_variant(_REQUESTS),
        runs_s=by_variant(_RUNS),
        variants_s=by_variant(_PROCESSES),
        gateways_s=of_part("gateway"),
        others_s=of_part("keeper", "ray"),
        memory_bytes=int(sum(value for name, _, value in samples if name == _MEMORY)),
    )


def reckon(
    before: CpuReading, after: CpuReading, model: str, client_s: float, limits: Limits
) -> dict[str, RequestCost]:
    """Compute the cost of the model's variants between two readings. `client_s` is the sender's CPU time per
    request.

    CPU time that belongs to no single variant is divided equally among all requests."""

    def spent(name: str) -> dict[tuple[str, str], float]:
        earlier, later = getattr(before, name), getattr(after, name)
        return {key: value - earlier.get(key, 0.0) for key, value in later.items()}

    requests, runs_s, variants_s = spent("requests"), spent("runs_s"), spent("variants_s")
    total = sum(requests.values())
    if not total:
        return {}
    inside_s = sum(value for key, value in runs_s.items() if key not in variants_s)
    gateway_s = max(0.0, after.gateways_s - before.gateways_s - inside_s) / total
    others_s = (after.others_s - before.others_s) / total
    costs = {}
    for (owner, variant), count in requests.items():
        if owner == model and count:
            key = (owner, variant)
            run_s = runs_s.get(key, 0.0) / count
            around_s = max(0.0, variants_s[key] / count - run_s) if key in variants_s else 0.0
            costs[variant] = _cost(run_s, gateway_s, around_s + others_s, client_s, limits)
    return costs


def _cost(model_s: float, gateway_s: float, proxy_s: float, client_s: float, limits: Limits) -> RequestCost:
    price = None
    if limits.price_per_cpu_hour is not None:
        price = 1e6 * (model_s + gateway_s + proxy_s) / 3600 * limits.price_per_cpu_hour
    return RequestCost(
        model_s=1e3 * model_s,
        gateway_s=1e3 * gateway_s,
        proxy_s=1e3 * proxy_s,
        client_s=1e3 * client_s,
        price_per_million=price,
    )
