import json
from pathlib import Path

import pytest

from serve.bundles.figures import Compared, Estimate, Quality
from serve.bundles.repository import read_model
from serve.tasks.show import describe, show, table
from tests.conftest import MakeBundle, make_figures


def test_the_table_shows_every_variant_and_who_was_rejected(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table has the baseline first and the rejected variant with its reason below."""
    assert show([str(repository / "linear")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [(row.split()[0], row.split()[-1]) for row in rows[2:5]] == [
        ("base", "accepted"),
        ("light", "accepted"),
        ("poor", "rejected"),
    ]
    assert rows[5] == "!  poor: rejected: accuracy 0.50 is 0.40 below the baseline's, floor 0.02"


def test_a_variant_whose_rows_run_alone_says_so_below(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A variant with `rows: alone` is accepted, and a note below the table names it."""
    make_bundle(tmp_path, "base")
    make_bundle(tmp_path, "int8", rows="alone")
    rows = table(describe(read_model(tmp_path / "linear"))).splitlines()
    assert rows[3].split()[-1] == "accepted"
    assert rows[4].startswith("!  int8: ")


def test_random_rows_are_named_below(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """A model that was exported with random rows is unproven, and a note says why."""
    make_bundle(tmp_path, "base", random_rows=True)
    rows = table(describe(read_model(tmp_path / "linear"))).splitlines()
    assert rows[2].split()[-1] == "unproven"
    assert rows[3].startswith("!  linear: the rows were random")


def test_the_node_at_which_rows_see_each_other_is_named(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The note has the first node that mixes rows."""
    make_bundle(tmp_path, "base")
    make_bundle(tmp_path, "int8", rows="alone", mixed_by="DynamicQuantizeLSTM 'rnn'")
    assert "(first in DynamicQuantizeLSTM 'rnn')" in table(describe(read_model(tmp_path / "linear")))


def test_variants_stand_in_the_recipe_s_order(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """Variants are listed in the recipe's order after the baseline, and added ones last."""
    for variant, position in (("base", 1), ("added", None), ("zero", 0), ("light", 2)):
        make_bundle(tmp_path, variant, position=position)
    shown = describe(read_model(tmp_path / "linear"))
    assert [variant["variant"] for variant in shown["variants"]] == ["base", "zero", "light", "added"]


def test_speed_is_also_shown_at_one_common_batch_size(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The table has the speed-up at the largest batch that all variants were measured at."""
    speed = make_figures(1).speed
    [one, eight] = speed.points
    more = eight.model_copy(update={"rows": 64, "speedup": Estimate(value=9, low=8, high=10)})
    fast = eight.model_copy(update={"speedup": Estimate(value=3, low=2, high=4)})
    light = speed.model_copy(update={"points": (one, fast, more), "knee_rows": 64})
    make_bundle(tmp_path, "base")
    make_bundle(tmp_path, "light", figures=make_figures(1, speed=light))
    head, _, _, row, *_ = table(describe(read_model(tmp_path / "linear"))).splitlines()
    assert "1 row    8 rows    at the knee" in head
    assert "1.00x     3.00x    9.00x at 64" in row


def test_json_has_the_same_figures(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the figures of the table, and a schema version."""
    show([str(repository / "linear"), "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 2
    assert [variant["variant"] for variant in shown["variants"]] == ["base", "light", "poor"]
    assert shown["variants"][0]["figures"]["quality"]["accuracy"]["value"] == 0.9


def test_what_is_uncertain_stands_with_its_interval(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The baseline's accuracy stands alone; a variant's accuracy stands with the interval of its change."""
    quality = make_figures(1).quality
    drop = Compared(value=0.8, change=-0.1, low=-0.3, high=0.05)
    make_bundle(tmp_path, "base")
    make_bundle(
        tmp_path,
        "light",
        figures=make_figures(1, quality=quality.model_copy(update={"accuracy": drop})),
    )
    rows = table(describe(read_model(tmp_path / "linear"))).splitlines()
    assert "0.9000 " in rows[2]
    assert "0.8000 [-.300, +.050]" in rows[3]


def test_an_embedding_has_columns_of_its_own(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The table of an embedding has the cosine and no accuracy."""
    close = Estimate(value=0.99, low=0.985, high=0.994)
    quality = Quality(task="embedding", rows=10, cosine=close, rank_correlation=close)
    make_bundle(tmp_path, "base", figures=make_figures(1, quality=quality))
    shown = table(describe(read_model(tmp_path / "linear")))
    assert "0.9900 [.985, .994]" in shown
    assert "accuracy" not in shown.splitlines()[0]


def test_a_variant_that_is_not_faster_says_so(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The warning of a slow variant stands below the table."""
    speed = make_figures(1).speed.model_copy(update={"warning": "nowhere faster than base"})
    make_bundle(tmp_path, "base", figures=make_figures(1, speed=speed))
    assert table(describe(read_model(tmp_path / "linear"))).endswith("!  base: nowhere faster than base")


def test_how_much_became_integers_stands_in_the_table(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """The table has the shares of integers, and a note if they are small."""
    note = {
        "step": "quantize",
        "integers": {"weight_bytes": 0.0004, "multiply_adds": 0.02},
        "mostly_float": "integers are 0.04% of the bytes of weights",
    }
    make_bundle(tmp_path, "base")
    make_bundle(tmp_path, "int8", figures=make_figures(1, steps=(note,)))
    shown = table(describe(read_model(tmp_path / "linear"))).splitlines()
    assert "integers" in shown[0]
    assert "2%, 0%" in shown[3]
    assert shown[-1] == "!  int8: mostly float: integers are 0.04% of the bytes of weights"


def test_nothing_is_said_of_integers_where_there_are_none(tmp_path: Path, make_bundle: MakeBundle) -> None:
    """Without shares of integers the table has no such column."""
    make_bundle(tmp_path, "base")
    make_bundle(tmp_path, "int8", figures=make_figures(1, steps=({"step": "quantize", "quantized": 2},)))
    assert "integers" not in table(describe(read_model(tmp_path / "linear")))
