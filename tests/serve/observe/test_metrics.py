import math
from collections.abc import Iterable, Mapping

import pytest
from prometheus_client import Metric, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from serve.counting.tally import EDGES_MS, Tally
from serve.counting.usage import PartUsage, ProcessRole, Usage
from serve.observe.metrics import ModelView, VariantView, render

Key = tuple[str, str | None, str | None]
USAGE = Usage(
    read_s=1_795_361_400.5,
    parts=(
        PartUsage(part=ProcessRole("gateway"), cpu_s=12.5, resident_bytes=2**27),
        PartUsage(part=ProcessRole("variant", "linear", "light"), cpu_s=0.25, resident_bytes=2**26),
    ),
)


def view(name: str, tally: Tally, **changes: float) -> VariantView:
    fields = {"share": 0.5, "shadow_share": 0.0, "in_flight": 0, "waiting_rows": 0, "ready": True} | changes
    return VariantView(name=name, tally=tally, **fields)  # type: ignore[arg-type]


def model(*views: VariantView) -> ModelView:
    return ModelView(name="linear", revision=7, variants=views)


def samples(families: Iterable[Metric]) -> dict[Key, float]:
    """Every sample by its name, its variant, and its edge, cause or part."""
    return {
        (sample.name, sample.labels.get("variant"), _other(sample.labels)): sample.value
        for family in families
        for sample in family.samples
    }


def _other(labels: Mapping[str, str]) -> str | None:
    return next((labels[name] for name in ("le", "cause", "part") if name in labels), None)


def parse_plain(text: str) -> Iterable[Metric]:
    return parser.text_string_to_metric_families(text)


def parse_openmetrics(text: str) -> Iterable[Metric]:
    return openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call, no-any-return]


def shown(*models: ModelView) -> dict[Key, float]:
    return samples(parse_plain(render(models)[0].decode()))


def test_counts_stand_under_their_variant() -> None:
    """The metrics of two variants have their own counts."""
    base, light = Tally(), Tally()
    base.requests, base.rows = 5, 9
    light.requests, light.rescues, light.sheds = 3, 1, 2
    light.failures["ModelFailed"] = 2
    found = shown(model(view("base", base), view("light", light)))
    assert found["counterweight_requests_total", "base", None] == 5
    assert found["counterweight_inferred_rows_total", "base", None] == 9
    assert found["counterweight_requests_total", "light", None] == 3
    assert found["counterweight_rescues_total", "light", None] == 1
    assert found["counterweight_sheds_total", "light", None] == 2
    assert found["counterweight_request_failures_total", "light", "ModelFailed"] == 2


def test_a_shadow_is_counted_apart_from_requests() -> None:
    """A shadow's rows, disagreements, drops and explanations have metrics of their own."""
    tally = Tally()
    tally.explained, tally.explanation_overlap = 4, 3.5
    tally.copies, tally.disagreements, tally.drops, tally.cpu_ms = 90, 4, 10, 250.0
    found = shown(model(view("light", tally, shadow_share=0.5)))
    assert found["counterweight_shadow_rows_total", "light", None] == 90
    assert found["counterweight_shadow_disagreements_total", "light", None] == 4
    assert found["counterweight_shadow_drops_total", "light", None] == 10
    assert found["counterweight_shadow_explained_rows_total", "light", None] == 4
    assert found["counterweight_shadow_explanation_overlap_total", "light", None] == 3.5
    assert found["counterweight_shadow_share", "light", None] == 0.5
    assert found["counterweight_run_cpu_seconds_total", "light", None] == 0.25
    assert found["counterweight_requests_total", "light", None] == 0


def test_a_failure_that_never_happened_is_zero() -> None:
    """A kind of failure that has not occurred has the value 0."""
    found = shown(model(view("base", Tally())))
    assert found["counterweight_request_failures_total", "base", "DeadlineExceeded"] == 0


def test_gauges_show_the_moment() -> None:
    """Gauges show the requests in flight, the waiting rows, the readiness and the shares."""
    found = shown(model(view("base", Tally(), share=0.9, in_flight=4, waiting_rows=17, ready=False)))
    assert found["counterweight_in_flight", "base", None] == 4
    assert found["counterweight_waiting_rows", "base", None] == 17
    assert found["counterweight_ready", "base", None] == 0
    assert found["counterweight_route_share", "base", None] == 0.9
    assert found["counterweight_routes_revision", None, None] == 7


def test_every_edge_counts_exactly_what_is_at_or_below_it() -> None:
    """Each bucket counts exactly the durations at or below its edge."""
    tally = Tally()
    durations_ms = [edge * factor for edge in EDGES_MS for factor in (0.9999, 1.0, 1.0001)]
    for duration_ms in durations_ms:
        tally.latency.record(duration_ms)
    for (name, _, edge), count in shown(model(view("base", tally))).items():
        if name == "counterweight_request_duration_seconds_bucket":
            # The label is rounded to six digits.
            limit_ms = float(str(edge)) * 1e3 * 1.00001
            assert count == sum(duration_ms <= limit_ms for duration_ms in durations_ms), edge


def test_durations_are_seconds() -> None:
    """Durations of requests, waits and runs are given in seconds."""
    tally = Tally()
    tally.latency.record(250.0)
    tally.queued.record(50.0)
    tally.runs[4], tally.run_ms[4] = 1, 200
    found = shown(model(view("base", tally)))
    assert found["counterweight_request_duration_seconds_sum", "base", None] == 0.25
    assert found["counterweight_queue_duration_seconds_sum", "base", None] == 0.05
    assert found["counterweight_run_duration_seconds_total", "base", None] == 0.2
    assert found["counterweight_request_duration_seconds_count", "base", None] == 1


def test_batches_are_counted_by_their_rows() -> None:
    """Runs are counted by their rows, also above the last edge."""
    tally = Tally()
    tally.runs.update({1: 5, 3: 2, 300: 1})
    found = shown(model(view("base", tally)))
    name = "counterweight_batch_rows"
    assert [found[f"{name}_bucket", "base", edge] for edge in ("1.0", "2.0", "4.0", "256.0")] == [5, 5, 7, 7]
    assert found[f"{name}_bucket", "base", "+Inf"] == found[f"{name}_count", "base", None] == 8
    assert found[f"{name}_sum", "base", None] == 5 + 6 + 300


def test_both_formats_say_the_same() -> None:
    """The plain and the OpenMetrics format have the same samples and can each be parsed."""
    tally = Tally()
    tally.requests = 2
    tally.failures["VariantUnavailable"] = 1
    tally.latency.record(1.5)
    models = [model(view("base", tally))]
    plain, plain_type = render(models, USAGE)
    openmetrics, openmetrics_type = render(
        models, USAGE, "application/openmetrics-text;version=1.0.0,*/*;q=0.1"
    )
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
    assert samples(parse_plain(plain.decode())) == samples(parse_openmetrics(openmetrics.decode()))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_every_family_has_a_type_and_a_help_text(accept: str) -> None:
    """Each metric family has a type and a help text."""
    text = render([model(view("base", Tally()))], USAGE, accept)[0].decode()
    families = list(parse_openmetrics(text) if accept else parse_plain(text))
    for family in families:
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.documentation


def test_without_models_nothing_but_the_build_is_shown() -> None:
    """A server without models has only the build's metric."""
    values = shown()
    assert [name for name, *_ in values] == ["counterweight_build_info"]
    assert not any(math.isnan(value) for value in values.values())


def test_processes_stand_under_their_part() -> None:
    """CPU time and memory are given by part and variant, with the time at which they were read."""
    found = samples(parse_plain(render([], USAGE)[0].decode()))
    cpu, resident = "counterweight_process_cpu_seconds_total", "counterweight_process_resident_memory_bytes"
    assert (found[cpu, None, "gateway"], found[resident, None, "gateway"]) == (12.5, 2**27)
    assert (found[cpu, "light", "variant"], found[resident, "light", "variant"]) == (0.25, 2**26)
    assert found["counterweight_process_read_timestamp_seconds", None, None] == 1_795_361_400.5
