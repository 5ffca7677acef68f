"""Draws the charts of a search."""

from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from export.report.charts import COLOURS, GREY, INK, draw_panels
from export.report.pareto import find_main
from export.search.trial import Measured, TrialResult
from export.search.trial_front import Results, find_front
from serve.bundles.figures import Compared
from serve.tasks.task_table import FIGURES

_MOST_BARS = 12
_SECONDS = 60


def draw_trials(results: Results) -> Figure:
    """Draw the quality of each measured trial over its speed-up, with the numbers of those on the front.
    Trials below the floor are hollow and grey."""
    shown = {number: result.measured for number, result in results.items() if _is_shown(result)}
    front = sorted(find_front(results, len(results)))

    def draw(axes: Axes) -> None:
        name = ""
        for number, measured in shown.items():
            assert measured is not None, "it is shown"
            name, quality = _read_quality(measured)
            within = measured.rejected is None
            edge = COLOURS[2] if number in front else COLOURS[0] if within else GREY
            fill = edge if within else "none"
            axes.scatter(measured.speedup.value, quality, s=55, facecolor=fill, edgecolor=edge, zorder=3)
            if number in front:
                place = (measured.speedup.value, quality)
                axes.annotate(str(number), place, xytext=(5, 5), textcoords="offset points")
        axes.axvline(1, color=INK, alpha=0.45, linestyle="--", linewidth=1)
        axes.set(xlabel="speed-up over the baseline, CPU time", ylabel=f"{name} on search rows")

    return draw_panels([draw])


def draw_course(results: Results) -> Figure:
    """Draw the speed-up of the best trial so far over the time of all trials, with each accepted trial."""
    numbers = sorted(results)
    times = list(accumulate(results[number].wall_s / _SECONDS for number in numbers))
    speeds = [_read_speed(results[number]) for number in numbers]

    def draw(axes: Axes) -> None:
        axes.step(times, list(accumulate(speeds, max)), where="post", color=COLOURS[2])
        within = [(time, speed) for time, speed in zip(times, speeds, strict=True) if speed > 1]
        axes.scatter(
            [time for time, _ in within], [speed for _, speed in within], s=25, color=COLOURS[0], zorder=3
        )
        axes.set(xlabel="time of all trials, minutes", ylabel="best speed-up within the floor")

    return draw_panels([draw])


def draw_importances(importances: dict[str, float]) -> Figure:
    """Draw how much of the differences of the speed-up each setting explains."""
    shown = list(importances.items())[:_MOST_BARS]

    def draw(axes: Axes) -> None:
        places = range(len(shown), 0, -1)
        axes.barh(places, [value for _, value in shown], color=COLOURS[0], height=0.7)
        axes.set_yticks(places, [name for name, _ in shown])
        axes.set(xlabel="share of the differences of the speed-up")

    return draw_panels([draw], lines=len(shown))


def _is_shown(result: TrialResult) -> bool:
    return result.measured is not None and result.outcome != "repeated"


def _read_quality(measured: Measured) -> tuple[str, float]:
    """Return the heading and the value of the task's main figure."""
    name, figure = find_main(measured.quality)
    heading = FIGURES[name].heading
    if isinstance(figure, Compared):
        return f"change of {heading}", figure.change
    return heading, figure.value


def _read_speed(result: TrialResult) -> float:
    """Return the speed-up of an accepted trial; 1, that of the baseline, for all others."""
    if not result.accepted or result.measured is None:
        return 1.0
    return max(1.0, result.measured.speedup.value)
