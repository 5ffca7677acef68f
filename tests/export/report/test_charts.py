"""The pictures of a report are legible: labels do not overlap or leave the picture."""

import random
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from export.data.labels import name_class
from export.report.charts import draw_classes, draw_curves, draw_front, draw_sensitivity
from export.report.pareto import ParetoPoint
from serve.bundles.bundle import Bundle
from serve.bundles.figures import ClassChange, SpeedPoint
from tests.conftest import make_bundle, make_figures

NAMES = [f"variant-{number}-of-a-length" for number in range(9)]


def words(figure: Figure) -> Iterator[Text]:
    """Everything that is written in the picture; ticks beyond the limits of their axis are not."""
    figure.draw_without_rendering()
    unseen: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            unseen |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    for item in figure.findobj(Text):
        assert isinstance(item, Text)
        if item.get_text() and item.get_visible() and item not in unseen:
            yield item


def assert_readable(figure: Figure) -> None:
    """No two words overlap, and each lies in the picture."""
    whole = figure.bbox.padded(1)
    boxes = [(item.get_text(), item.get_window_extent()) for item in words(figure)]
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not first.overlaps(second), f"{one!r} lies on {other!r}"
    for text, box in boxes:
        assert whole.containsx(box.x0), f"{text!r} leaves the picture"
        assert whole.containsx(box.x1), f"{text!r} leaves the picture"
        assert whole.containsy(box.y1), f"{text!r} leaves the picture"


def standing(variant: str, latency_ms: float, quality: float, *, rejected: bool = False) -> ParetoPoint:
    return ParetoPoint(
        variant=variant,
        rejected=rejected,
        measure="accuracy",
        place="one row",
        quality=quality,
        low=quality - 0.01,
        high=quality + 0.01,
        latency_ms=latency_ms,
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Nine variants with long names, and forty classes."""
    folder = tmp_path_factory.mktemp("models")
    figures = make_figures(1)
    classes = tuple(ClassChange(label=label, rows=9, baseline_f1=0.9, f1=0.8) for label in range(40))
    points: list[SpeedPoint] = [
        figures.speed.points[0].model_copy(update={"rows": 2**step, "tokens": tokens})
        for tokens in (16, 64, 128)
        for step in range(7)
    ]
    figures = figures.model_copy(
        update={
            "quality": figures.quality.model_copy(update={"classes": classes}),
            "speed": figures.speed.model_copy(update={"points": tuple(points)}),
        }
    )
    return {name: make_bundle(folder, name, figures=figures, baseline=NAMES[0]) for name in NAMES}


@pytest.mark.parametrize("seed", range(3))
def test_names_of_near_points_stand_apart(seed: int) -> None:
    """The labels of nine variants with close latency and quality do not overlap."""
    drawn = random.Random(seed)
    assert_readable(
        draw_front([standing(name, 1 + drawn.random() / 5, 0.98 + drawn.random() / 500) for name in NAMES])
    )


def test_a_rejected_variant_never_looks_like_the_best() -> None:
    """A rejected variant that beats all others is hollow and grey, not bold, and not on the dashed line."""
    figure = draw_front(
        [standing("base", 3, 0.9), standing("fast", 2, 0.8), standing("ruined", 1, 0.95, rejected=True)]
    )
    [axes] = figure.axes
    [dashed] = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert np.asarray(dashed.get_xdata()).tolist() == [2, 3]
    weights = {item.get_text(): item.get_fontweight() for item in words(figure)}
    assert (weights["ruined"], weights["fast"], weights["base"]) == ("normal", "bold", "bold")
    points = [item for item in axes.collections if isinstance(item, PathCollection)]
    filled = [len(np.asarray(item.get_facecolor())) for item in points]
    assert filled == [1, 1, 0]
    edges = [np.asarray(item.get_edgecolor())[0, :3] for item in points]
    assert [float(np.ptp(edge)) == 0 for edge in edges] == [False, False, True]


def test_many_variants_have_a_legend_that_fits(bundles: dict[str, Bundle]) -> None:
    """The legend of many variants fits above the curves."""
    assert_readable(draw_curves(bundles))


def test_classes_with_long_names_stand_apart(bundles: dict[str, Bundle]) -> None:
    """A class name of 200 letters is shortened in its middle."""
    figure = draw_classes(bundles, [f"{label} {'so long a name ' * 12}" for label in range(40)])
    assert figure is not None
    assert_readable(figure)


def test_classes_have_their_names(bundles: dict[str, Bundle]) -> None:
    """Classes without a name are shown by their number."""
    figure = draw_classes(bundles, ["cat", "dog"])
    assert figure is not None
    assert {"cat", "dog", "2"} <= {item.get_text() for item in words(figure)}
    assert [name_class(label, ["cat"]) for label in (0, 1, -1)] == ["cat", "1", "-1"]


def test_blocks_with_long_names_stand_apart() -> None:
    """The labels of long block names do not overlap and keep their ends."""
    blocks = [
        {"block": f"/model/encoder/{'layer/' * 20}{number}/MatMul", "divergence": number + 1}
        for number in range(20)
    ]
    figure = draw_sensitivity(blocks)
    assert_readable(figure)
    assert any(item.get_text().endswith("/19/MatMul") for item in words(figure))


@pytest.mark.parametrize("factor", [1.001, 1.5, 30, 1e6])
def test_costs_have_numbers_that_stand_apart(bundles: dict[str, Bundle], factor: float) -> None:
    """Labels of costs do not overlap, for nearly equal costs and for one that is far larger."""
    [name, *_] = bundles
    speed = bundles[name].figures.speed
    first, *others = [point for point in speed.points if point.tokens == 16]
    spread = (first.model_copy(update={"cpu_p50_ms": first.cpu_p50_ms * factor}), *others)
    equal = tuple(
        point.model_copy(update={"cpu_p50_ms": point.rows * first.cpu_p50_ms}) for point in spread[1:]
    )
    speed = speed.model_copy(update={"points": (spread[0], *equal)})
    figures = bundles[name].figures.model_copy(update={"speed": speed})
    figure = draw_curves({name: bundles[name].model_copy(update={"figures": figures})})
    assert_readable(figure)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    shown = [tick for tick in figure.axes[0].get_yticks() if low <= tick <= high]
    assert len(shown) >= 2


@pytest.mark.parametrize(("quality", "says"), [(0.9, True), (0.0, False)])
def test_an_axis_that_does_not_start_at_zero_says_so(quality: float, says: bool) -> None:
    """Differences look larger than they are where the axis is cut."""
    figure = draw_front([standing("base", 2.0, quality + 0.02), standing("light", 1.0, quality)])
    assert any("the axis does not start at 0" in item.get_text() for item in words(figure)) is says
