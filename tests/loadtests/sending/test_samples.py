import json
import math
from pathlib import Path

import pytest

from loadtests.sending.samples import UNANSWERED, Recorder, write_records
from tests.loadtests.samples import join, make_failed, make_samples, make_unanswered


def _recorder() -> Recorder:
    recorder = Recorder()
    recorder.note(times_s=(2.0, 2.0, 3.0), pinned="int8", error="refused")
    recorder.note(times_s=(1.0, 1.25, 1.5), pinned=None, variant="fp32", status=200)
    recorder.note(times_s=(3.0, 3.0, 5.0), pinned="int8", error=UNANSWERED)
    return recorder


def test_samples_are_in_order_of_their_intended_time() -> None:
    """Samples are in order of their scheduled times, whichever request ended first."""
    assert _recorder().samples().intended_s.tolist() == [1, 2, 3]


def test_latency_and_lateness_count_from_the_intended_moment() -> None:
    """Latency and lateness count from the scheduled time."""
    samples = _recorder().samples()
    assert samples.lateness_ms.tolist() == [250, 0, 0]
    assert samples.latency_ms.tolist() == [500, 1000, 2000]


def test_only_right_answers_and_vain_waits_are_timed() -> None:
    """Correct answers and unanswered requests have a latency, and immediate errors do not."""
    samples = _recorder().samples()
    assert samples.right.tolist() == [True, False, False]
    assert samples.unanswered.tolist() == [False, False, True]
    assert samples.timed.tolist() == [True, False, True]


def test_nothing_recorded_is_no_samples() -> None:
    """Without records the samples are empty."""
    samples = Recorder().samples()
    assert (len(samples), samples.names, len(samples.of("fp32"))) == (0, [], 0)


def test_a_variant_has_what_it_answered_and_what_it_was_asked_for() -> None:
    """A variant's samples are its answers and the failed requests that were pinned to it."""
    samples = join(
        make_samples([1], variant="fp32"),
        make_samples([2], variant="int8", pinned="int8"),
        make_failed(3, pinned="int8"),
        make_failed(5),
    )
    assert (len(samples.of("fp32")), len(samples.of("int8")), len(samples.of("slim"))) == (1, 4, 0)
    assert sorted(samples.names) == ["fp32", "int8"]


def test_in_flight_is_what_was_sent_and_not_yet_answered() -> None:
    """A request is in flight from its sending to its answer."""
    samples = join(make_samples([100, 1000], at_s=[1, 1.2]), make_unanswered([5000], at_s=[1.1]))
    assert [samples.unanswered_at(at_s) for at_s in (0.5, 1.15, 1.5, 3, 7)] == [0, 1, 2, 1, 0]


def test_records_are_one_json_object_a_line(tmp_path: Path) -> None:
    """Each record is a line of JSON with every field, null where there is no value."""
    path = tmp_path / "records.jsonl"
    write_records(path, _recorder().samples())
    first, second, _ = map(json.loads, path.read_text().splitlines())
    assert first == {
        "intended_s": 1,
        "sent_s": 1.25,
        "done_s": 1.5,
        "pinned": None,
        "variant": "fp32",
        "error": None,
        "status": 200,
    }
    assert (second["pinned"], second["variant"], second["error"]) == ("int8", None, "refused")
    assert math.isclose(second["done_s"], 3)


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails leaves the old file and no temporary file."""
    path = tmp_path / "records.jsonl"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_records(path, _recorder().samples())
    assert [file.name for file in tmp_path.iterdir()] == ["records.jsonl"]
    assert path.read_text() == "old"
