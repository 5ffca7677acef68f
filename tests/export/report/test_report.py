"""The report shows the figures, loads nothing from other addresses, and escapes all text."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.data.datasets import Data
from export.recipe import Recipe
from export.report.pareto import ParetoPoint, describe, front
from export.report.report import render, write_report
from export.report.tables import outputs
from serve.bundles.bundle import Bundle
from serve.bundles.figures import (
    ClassChange,
    Compared,
    Confusion,
    DisagreeingRow,
    Estimate,
    OutputFigures,
    Quality,
)
from serve.bundles.meaning import Meaning
from tests.conftest import make_bundle, make_figures
from tests.export.graphs import split_of


@pytest.fixture(scope="module")
def data() -> Data:
    """Data of ten images."""
    image = np.random.default_rng(0).normal(size=(10, 1, 8, 8)).astype(np.float32)
    split = split_of({"image": image})
    return Data(train=None, calibration=split, search=split, held_out=split)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "model": "linear",
            "source": {"factory": "a.b:model", "checkpoint": "linear.safetensors"},
            "data": {"factory": "a.b:data"},
            "outputs": ["y"],
            "floor": {"accuracy_drop": 0.1},
            "variants": {"base": [], "light": [{"step": "quantize", "method": "dynamic"}]},
        }
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """A baseline, and a variant with everything that can be said of one."""
    folder = tmp_path_factory.mktemp("models")
    base = make_figures(1000)
    perfect = base.quality.model_copy(update={"worst_class": Compared(value=0.9, change=0, low=0, high=0)})
    base = base.model_copy(update={"quality": perfect})
    quality = base.quality.model_copy(
        update={
            "accuracy": Compared(value=0.8, change=-0.1, low=-0.3, high=0.05),
            "agreement": Estimate(value=0.9, low=0.55, high=0.99),
            "classes": (ClassChange(label=7, rows=10, baseline_f1=0.9, f1=0.8),),
            "worst_class": Compared(value=0.8, change=-0.1, low=-0.3, high=0.05),
            "worst_label": 7,
            "confusions": (
                Confusion(baseline=7, variant=7, count=9),
                Confusion(baseline=7, variant=1, count=1),
            ),
            "disagreements": (DisagreeingRow(row=3, label=7, baseline=7, variant=1),),
        }
    )
    faster = Estimate(value=2.5, low=2.4, high=2.6)
    points = tuple(point.model_copy(update={"speedup": faster}) for point in base.speed.points)
    speed = base.speed.model_copy(update={"points": points, "warning": "slower than base at 2 rows"})
    sensitivity: Any = [{"block": "encoder.layer.0", "divergence": 0.25, "multiply_adds": 10}]
    light = make_figures(
        500,
        quality=quality,
        speed=speed,
        steps=(
            {
                "step": "quantize",
                "method": "dynamic",
                "sensitivity": sensitivity,
                "integers": {"weight_bytes": 0.25, "multiply_adds": 0.125},
                "mostly_float": "integers are few",
            },
        ),
    )
    return {
        "light": make_bundle(folder, "light", figures=light, rejected="accuracy <b>too low</b>"),
        "base": make_bundle(folder, "base", figures=base),
    }


@pytest.fixture(scope="module")
def page(recipe: Recipe, bundles: dict[str, Bundle], data: Data) -> str:
    return render(recipe, bundles, {"broken": "a step failed"}, data, logged=True)


@pytest.mark.parametrize(
    "words",
    [
        "0.8000<small>-0.1000 [-0.3000, +0.0500]</small>",
        "2.50x<small>[2.40, 2.60]</small>",
        "<td>rejected</td>",
        "<td>accepted</td>",
        '<td colspan="6">accuracy &lt;b&gt;too low&lt;/b&gt;</td>',
        "<th>in 8 rows</th>",
        "In 8 rows: the largest batch",
        "slower than base at 2 rows",
        "a step failed",
        "row 3, labelled <b>7</b>",
        "base says 7, light says 1",
        "encoder.layer.0",
        "12.5%<small>25.0% of the bytes</small>",
        "Mostly float: integers are few.",
        "tensorboard --logdir .work/logs",
        "factory: a.b:model",
    ],
)
def test_the_page_tells(page: str, words: str) -> None:
    """The page has the figures with their intervals, the reasons and the proofs."""
    assert words in page


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(page: str) -> None:
    """The page has four pictures and one drawn row, and loads nothing from other addresses."""
    HTMLParser().feed(page)
    assert page.count("<svg") == 4
    assert page.count("data:image/png") == 1
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert "@import" not in page


def test_text_is_never_markup(page: str) -> None:
    """A reason that looks like HTML is escaped."""
    assert "<b>too low</b>" not in page
    assert "&lt;b&gt;too low" in page


def test_the_baseline_comes_first(page: str) -> None:
    """The baseline comes first, whatever the order of the folder."""
    assert page.index("<b>base</b>") < page.index("<b>light</b>") < page.index("<b>broken</b>")


def test_classes_have_their_names(recipe: Recipe, bundles: dict[str, Bundle], data: Data) -> None:
    """The page uses the class names in examples, tables and pictures."""
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven"]
    page = render(recipe, bundles, {}, data, logged=False, classes=names)
    assert "<small>seven\n-0.1000" in page
    assert '<td>seven</td><td class="differs">1</td><td>9</td>' in page
    assert "<tr><td>seven</td><td>10</td><td>0.9000</td><td>0.8000</td></tr>" in page
    assert "labelled <b>seven</b>" in page
    assert "base says seven, light says one" in page
    assert ">seven</text>" in page


def test_the_same_figures_give_the_same_page(
    page: str, recipe: Recipe, bundles: dict[str, Bundle], data: Data
) -> None:
    """Rendering the same figures again gives the same page."""
    assert render(recipe, bundles, {"broken": "a step failed"}, data, logged=True) == page


def test_the_file_is_replaced_whole(
    tmp_path: Path, recipe: Recipe, bundles: dict[str, Bundle], data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write leaves the old page and no temporary file."""
    path = tmp_path / "report.html"
    path.write_text("the old one")

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as fault:
        fault.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_report(path, recipe, bundles, {}, data)
    assert path.read_text() == "the old one"
    write_report(path, recipe, bundles, {}, data)
    assert "<title>Counterweight: linear</title>" in path.read_text()
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_embeddings_have_a_page_of_their_own(tmp_path: Path, recipe: Recipe, data: Data) -> None:
    """The page of embeddings has cosine, rank correlation and text lengths, and no classes."""
    close = Estimate(value=0.99, low=0.985, high=0.994)
    base = make_figures(1000)
    points = tuple(
        point.model_copy(update={"tokens": tokens}) for tokens in (16, 64) for point in base.speed.points
    )
    figures = make_figures(
        1000,
        quality=Quality(task="embedding", rows=10, cosine=close, rank_correlation=close),
        speed=base.speed.model_copy(update={"points": points}),
    )
    bundle = make_bundle(tmp_path, "base", figures=figures)
    page = render(recipe, {"base": bundle}, {}, data, logged=False)
    assert "cosine to the baseline on held-out rows" in page
    assert "of 16 / 64 tokens" in page
    assert "change of F1" not in page
    assert "tensorboard" not in page


def test_a_sentence_weighs_a_variant(bundles: dict[str, Bundle]) -> None:
    """The sentence gives a variant's speed, size and quality in numbers."""
    assert describe(bundles["light"], bundles["base"]) == (
        "2.50x the speed [2.40, 2.60] in one row, 2.50x the speed [2.40, 2.60] in 8; 50% of the size; "
        "accuracy 0.8000, -0.1000 [-0.3000, +0.0500]."
    )


def test_the_front_holds_those_that_none_beats_in_both() -> None:
    """A variant that another one beats in both speed and quality is not on the front."""

    def standing(variant: str, latency_ms: float, quality: float) -> ParetoPoint:
        return ParetoPoint(
            variant=variant,
            rejected=False,
            measure="accuracy",
            place="one row",
            quality=quality,
            low=quality,
            high=quality,
            latency_ms=latency_ms,
        )

    all_three = [standing("best", 3, 0.9), standing("beaten", 2, 0.7), standing("fast", 1, 0.8)]
    assert [item.variant for item in front(all_three)] == ["fast", "best"]


def test_each_output_has_a_row_of_its_own(bundles: dict[str, Bundle]) -> None:
    """Several outputs have a row each; a single output of class scores has none."""
    assert outputs(bundles) is None
    scores = Meaning(kind="classes", form="plain")
    price = Meaning(kind="numbers", form="plain", spread=(2.0,))
    several = {}
    for name, bundle in bundles.items():
        found = (
            OutputFigures(name="scores", meaning=scores, agreement=Estimate(value=1, low=1, high=1)),
            OutputFigures(
                name="price",
                meaning=price,
                low=-1.5,
                high=20,
                r2=0.75,
                r2_low=0.7,
                agreement=Estimate(value=0.9, low=0.8, high=0.95),
            ),
        )
        quality = bundle.figures.quality.model_copy(update={"outputs": found})
        several[name] = bundle.model_copy(
            update={"figures": bundle.figures.model_copy(update={"quality": quality})}
        )
    table = outputs(several)
    assert table is not None
    assert table.head == ("scores", "price")
    assert next(iter(table.rows.values())) == [
        ("1.0000", ""),
        ("0.9000", "[0.8000, 0.9500], -1.5 to 20, R2 0.7500, at least 0.7000"),
    ]
