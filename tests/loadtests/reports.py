"""Reports of load tests with invented figures: one for each kind, and unusual ones."""

from typing import Any

from loadtests.candidate_comparison import CandidateComparison, Ratio, WeighedEvents
from loadtests.capacity_record import Capacity, Probe
from loadtests.judging.limits import Limits
from loadtests.load_plan import LoadPlan, steady
from loadtests.load_timeline import LoadTimeline, VariantTimeline
from loadtests.load_verdict import Check, CheckOutcome, LoadVerdict
from loadtests.report import Environment, Kind, LoadReport, SenderReport
from loadtests.variant_report import Interval, RequestCost, VariantReport

# Text that a hostile server might answer: it ends a table's cell, a line, a tag, an attribute and an XML
# document, controls a terminal, turns the direction of writing, and mentions a person.
HOSTILE = "a|b\n# `c` <script>alert(1)</script> \"'& \x1b[2J\x00\x9b\u202e\ufffe ]]> @admin $x^ https://evil.example"


def make_report(kind: Kind = "run", **changes: Any) -> LoadReport:
    """A report of this kind that passed; `changes` replace its fields."""
    fields = _COMMON | {"kind": kind} | _KINDS[kind]
    return LoadReport(**(fields | changes))


def make_variant(requests: int = 3000, errors: int = 0, scale: float = 1, **changes: Any) -> VariantReport:
    """A variant with a median of 8.2 ms times `scale`."""
    fields: dict[str, Any] = {
        "requests": requests,
        "errors": errors,
        "over_limit": 12,
        "share_served": 0.5,
        "mean_ms": 9.7 * scale,
        "p50_ms": _estimate(8.2 * scale, 0.02),
        "p95_ms": _estimate(18.1 * scale, 0.05),
        "p99_ms": _estimate(35.4 * scale, 0.15),
        "curve": tuple((quantile, value * scale) for quantile, value in _CURVE),
    }
    return VariantReport(**(fields | changes))


def make_silent(requests: int = 40) -> VariantReport:
    """A variant without any answer."""
    nothing: dict[str, Any] = dict.fromkeys(("mean_ms", "p50_ms", "p95_ms", "p99_ms", "over_limit"))
    return make_variant(requests, requests, **nothing, share_served=0, curve=())


def make_check(name: str = "p99 of fp32", **changes: Any) -> Check:
    """A guard that passed with 18 % to spare."""
    fields: dict[str, Any] = {
        "name": name,
        "kind": "guard",
        "outcome": CheckOutcome.PASS,
        "seen": "0.4 % over 50 ms [0.2, 0.7]",
        "wanted": "at most 1 % over 50 ms",
        "used": 0.82,
    }
    return Check(**(fields | changes))


def make_failed(kind: Kind = "run", **changes: Any) -> LoadReport:
    """A report whose p99 was over its limit."""
    reason = "p99 of slim-int8: 1.8 % over 50 ms [1.2, 2.6], 1 % allowed"
    late = make_check(
        "p99 of slim-int8", outcome=CheckOutcome.FAIL, seen="1.8 % over 50 ms [1.2, 2.6]", used=1.8
    )
    verdict = LoadVerdict(outcome=CheckOutcome.FAIL, reasons=(reason,), binding=late.name)
    return make_report(kind, verdict=verdict, checks=(*_GATES, make_check(), late), **changes)


def make_invalid(kind: Kind = "run", **changes: Any) -> LoadReport:
    """A report that nothing may be concluded from, of a run that was ended early."""
    gate = make_check(
        "sender on time",
        kind="gate",
        outcome=CheckOutcome.INVALID,
        seen="lateness p99 7.3 ms",
        wanted="at most 2.0 ms",
        used=3.65,
    )
    guard = make_check(outcome=CheckOutcome.INVALID, seen="0.9 % over 50 ms [0.3, 1.9]", used=None)
    reasons = (
        "sender late: lateness p99 7.3 ms, at most 2.0 ms: lower the rate or use a quieter machine",
        "p99 of fp32: 0.9 % over 50 ms [0.3, 1.9] decides nothing: run longer",
    )
    verdict = LoadVerdict(outcome=CheckOutcome.INVALID, reasons=reasons, binding=gate.name)
    fields: dict[str, Any] = {"verdict": verdict, "checks": (gate, *_GATES[1:], guard), "complete": False}
    return make_report(kind, **(fields | changes))


def make_hostile(kind: Kind = "run") -> LoadReport:
    """Return a report in which each text of the server is hostile."""
    check = make_check(HOSTILE, outcome=CheckOutcome.FAIL, seen=HOSTILE, wanted=HOSTILE)
    report = make_report(
        kind,
        verdict=LoadVerdict(outcome=CheckOutcome.FAIL, reasons=(HOSTILE,), binding=HOSTILE),
        checks=(check,),
        errors=7,
        errors_by_cause={HOSTILE: 7},
        variants={HOSTILE: make_variant(cost=_COST), "_y": make_variant()},
        notes=(HOSTILE,),
        command=("counterweight", HOSTILE),
    )
    if kind == "compare":
        changes: dict[str, Any] = {"baseline": "_y", "candidate": HOSTILE}
        changes["weighed"] = (_WEIGHED[0].model_copy(update={"seen": HOSTILE}),)
        return report.model_copy(update={"comparisons": (_COMPARISON.model_copy(update=changes),)})
    if kind == "capacity":
        found = {HOSTILE: _CAPACITIES["fp32"].model_copy(update={"first_breach": HOSTILE})}
        probes = [probe.model_copy(update={"variant": HOSTILE, "reason": HOSTILE}) for probe in _PROBES[:6]]
        return report.model_copy(update={"capacities": found, "probes": tuple(probes)})
    return report


def _estimate(value: float, width: float) -> Interval:
    return Interval(value=value, low=value * (1 - width), high=value * (1 + width))


def _probe(variant: str, rate: float, outcome: str, over: float, p99_ms: float, **changes: Any) -> Probe:
    reasons = {
        "PASS": "the share over the limit is below 1 %",
        "FAIL": "the share over the limit is above 1 %",
        "INVALID": "undecided after 60 s",
    }
    fields: dict[str, Any] = {
        "variant": variant,
        "stage": "search",
        "rate_per_s": rate,
        "seed": int(rate),
        "duration_s": 20,
        "outcome": CheckOutcome(outcome),
        "reason": reasons[outcome],
        "requests": int(20 * rate),
        "errors": 0,
        "over_limit": Interval(value=over, low=over * 0.6, high=min(1, over * 1.5 + 0.002)),
        "completed": 1.0 if outcome != "FAIL" else 0.91,
        "p50_ms": 6 + rate / 80,
        "p99_ms": p99_ms,
    }
    return Probe(**(fields | changes))


def _curve_of(p50s: tuple[float | None, ...], **changes: Any) -> VariantTimeline:
    fields: dict[str, Any] = {
        "requests": tuple(0 if value is None else 500 + 3 * index for index, value in enumerate(p50s)),
        "errors": (0,) * len(p50s),
        "p50_ms": p50s,
        "p99_ms": tuple(None if value is None else 4.2 * value for value in p50s),
    }
    return VariantTimeline(**(fields | changes))


_CURVE = (
    (0.0, 4.1),
    (0.206, 6.0),
    (0.369, 7.2),
    (0.5, 8.2),
    (0.602, 9.1),
    (0.684, 10.0),
    (0.749, 11.0),
    (0.8, 12.1),
    (0.842, 13.3),
    (0.874, 14.4),
    (0.9, 15.6),
    (0.937, 17.3),
    (0.95, 18.1),
    (0.968, 22.3),
    (0.98, 27.5),
    (0.99, 35.4),
    (0.995, 43.0),
    (0.998, 51.2),
    (0.999, 58.8),
)
_COST = RequestCost(model_s=0.42, gateway_s=1.1, proxy_s=0.9, client_s=1.4, price_per_million=0.034)
_LIGHTER = RequestCost(model_s=0.11, gateway_s=1.12, proxy_s=0.88, client_s=1.41, price_per_million=0.029)
_RATIOS = (
    Ratio(figure="p50", value=0.93, low=0.905, high=0.958),
    Ratio(figure="p95", value=0.93, low=0.885, high=1.011),
    Ratio(figure="p99", value=0.93, low=0.802, high=1.078),
    Ratio(figure="mean", value=0.93, low=0.902, high=0.957),
)
_WEIGHED = (
    WeighedEvents(
        figure="errors",
        seen="0 of 3,000 against 0 of 3,000",
        value=None,
        low=None,
        high=None,
        harm=0.0,
        harm_at=5.3,
        safe=0.0,
        safe_at=3.0,
    ),
    WeighedEvents(
        figure="over limit",
        seen="11 of 3,000 (0.37 %) against 12 of 3,000 (0.40 %)",
        value=0.92,
        low=0.31,
        high=2.6,
        harm=-1.2,
        harm_at=5.3,
        safe=3.4,
        safe_at=3.0,
    ),
)
_COMPARISON = CandidateComparison(baseline="fp32", candidate="slim-int8", ratios=_RATIOS, weighed=_WEIGHED)
_CAPACITIES = {
    "fp32": Capacity(
        rate_per_s=232,
        infeasible_per_s=240,
        first_breach="1.9 % over 50 ms [1.3, 2.7]",
        boundary="cliff",
        confirmed=3,
        confirmations=3,
        cost=_COST,
    ),
    "slim-int8": Capacity(
        rate_per_s=418,
        infeasible_per_s=432,
        first_breach="1.6 % over 50 ms [1.1, 2.3]",
        boundary="smooth",
        confirmed=3,
        confirmations=3,
        cost=_LIGHTER,
    ),
}
_PROBES = (
    _probe("fp32", 50, "PASS", 0, 14.2),
    _probe("fp32", 100, "PASS", 0.0005, 17.9),
    _probe("fp32", 200, "PASS", 0.003, 34.8),
    _probe("fp32", 400, "FAIL", 0.83, 2310),
    _probe("fp32", 300, "FAIL", 0.41, 940),
    _probe("fp32", 250, "FAIL", 0.06, 118),
    _probe("fp32", 225, "PASS", 0.0051, 41.0),
    _probe("fp32", 240, "FAIL", 0.019, 71),
    *(_probe("fp32", 232, "PASS", 0.007, 44 + seed, stage="confirm", seed=seed) for seed in (1, 2, 3)),
    _probe("slim-int8", 100, "PASS", 0, 12.2),
    _probe("slim-int8", 200, "PASS", 0.0004, 16.1),
    _probe("slim-int8", 400, "PASS", 0.006, 43),
    _probe("slim-int8", 800, "FAIL", 0.94, 3200),
    _probe("slim-int8", 600, "FAIL", 0.3, 610),
    _probe("slim-int8", 500, "FAIL", 0.05, 96),
    _probe("slim-int8", 450, "FAIL", 0.021, 62),
    _probe("slim-int8", 425, "INVALID", 0.0097, 49.2),
    _probe("slim-int8", 432, "FAIL", 0.016, 55),
    *(
        _probe("slim-int8", 418, "PASS", 0.0075, 46 + seed / 2, stage="confirm", seed=seed)
        for seed in (1, 2, 3)
    ),
)
_TIMELINE = LoadTimeline(
    at_s=(10, 20, 30, 40, 50, 60),
    in_flight=(6, 7, 9, 31, 8, 7),
    variants={
        "fp32": _curve_of((8.1, 8.2, 8.3, 14.0, 8.4, 8.2)),
        "slim-int8": _curve_of((7.5, 7.6, 7.7, 12.1, 7.8, 7.6), errors=(0, 0, 0, 2, 0, 0)),
    },
)
_SOAKED = LoadTimeline(
    at_s=tuple(range(60, 601, 60)),
    in_flight=(6, 7, 6, 7, 9, 8, 7, 9, 8, 9),
    variants={"fp32": _curve_of((8.1, 8.2, 8.1, 8.3, 8.3, None, 8.4, 8.4, 8.5, 8.6))},
    memory_bytes=tuple(round(2**20 * size) for size in (512, 514, 515, 517, 518, 520, 521, 523, 524, 526)),
)
_GATES = (
    make_check("sender on time", kind="gate", seen="lateness p99 0.9 ms", wanted="at most 2.0 ms", used=0.45),
    make_check("arrivals on schedule", kind="gate", seen="6,012 of 6,000", wanted="within 232", used=0.05),
    make_check("no room lacked", kind="gate", seen="0 waits", wanted="none", used=None),
)
_COMMON: dict[str, Any] = {
    "started_at": "2026-11-22T18:30:00+00:00",
    "command": ("counterweight", "loadtest", "run", "http://127.0.0.1:8000", "--model", "digits"),
    "environment": Environment(cpu="A processor", cores=2, python="3.11.9", locust="2.47.0", steal=0.003),
    "plan": LoadPlan(
        url="http://127.0.0.1:8000",
        model="digits",
        profile=steady(100, 60),
        pinned=("fp32", "slim-int8"),
    ),
    "limits": Limits(p99_ms=50, price_per_cpu_hour=0.05),
    "complete": True,
    "verdict": LoadVerdict(outcome=CheckOutcome.PASS, reasons=(), binding="p99 of fp32"),
    "checks": (*_GATES, make_check()),
    "requests": 6000,
    "errors": 2,
    "errors_by_cause": {"status 503: the queue is full": 2},
    "variants": {
        "fp32": make_variant(cost=_COST),
        "slim-int8": make_variant(errors=2, scale=0.93, cost=_LIGHTER),
    },
    "timeline": _TIMELINE,
    "sender": SenderReport(
        lateness_p50_ms=0.12,
        lateness_p99_ms=0.9,
        lateness_max_ms=3.1,
        cpu_s=7.2,
        cpu_share=0.12,
        in_flight=31,
        pool_full=0,
    ),
}
_KINDS: dict[Kind, dict[str, Any]] = {
    "run": {},
    "compare": {"comparisons": (_COMPARISON,)},
    "capacity": {"variants": {}, "capacities": _CAPACITIES, "probes": _PROBES, "timeline": None},
    "soak": {"timeline": _SOAKED, "variants": {"fp32": make_variant(share_served=1, cost=_COST)}},
}
