"""Renders the page of a search: quality against speed, the course, what mattered, and every trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from export.report.charts import write_svg
from export.report.pareto import find_main
from export.search.search_charts import draw_course, draw_importances, draw_trials
from export.search.trial import TrialResult, describe_steps_briefly
from export.search.trial_front import Results
from serve.base.atomic_file import write_whole
from serve.bundles.figures import Compared
from serve.tasks.task_table import FIGURES

_TEMPLATE = Path(__file__).with_name("search.html.jinja")


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """What the page tells."""

    model: str
    # How it ended, and the answer, as sentences.
    end: str
    answer: str
    # Name of each finalist -> what the held-out rows said.
    finalists: Mapping[str, str]
    findings: Sequence[str]
    results: Results
    importances: Mapping[str, float]
    # The found recipe as YAML.
    written: str


def write_search_page(path: Path, content: PageContent) -> None:
    """Write the page, completely or not at all."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_TEMPLATE.read_text()).render(
        content=content,
        pictures=_draw(content),
        trials=[_describe(*item) for item in sorted(content.results.items())],
    )
    write_whole(path, page)


def _draw(content: PageContent) -> list[tuple[str, str]]:
    """Draw the charts, each with its caption."""
    if not any(result.measured for result in content.results.values()):
        return []
    pictures = [
        (
            write_svg("trials", draw_trials(content.results)),
            "Every measured trial. Filled: within the floor on the search rows; numbered: no faster one "
            "is as far within it. The best of many trials looks better than it is; held-out rows decide.",
        ),
        (
            write_svg("course", draw_course(content.results)),
            "The best speed-up within the floor as time went on.",
        ),
    ]
    if content.importances:
        caption = "How much of the differences of the speed-up each setting explains."
        pictures.append((write_svg("importances", draw_importances(dict(content.importances))), caption))
    return pictures


def _describe(number: int, result: TrialResult) -> dict[str, object]:
    """Return one row of the table."""
    measured = result.measured
    speed = quality = ""
    if measured is not None:
        speed = f"{measured.speedup.value:.2f}x [{measured.speedup.low:.2f}, {measured.speedup.high:.2f}]"
        name, figure = find_main(measured.quality)
        value = figure.change if isinstance(figure, Compared) else figure.value
        sign = "+" if isinstance(figure, Compared) else ""
        quality = f"{FIGURES[name].heading} {FIGURES[name].show(value, sign)}"
    rejected = None if measured is None or result.outcome == "repeated" else measured.rejected
    return {
        "number": number,
        "steps": describe_steps_briefly(result.steps),
        "outcome": "accepted" if result.accepted else result.outcome,
        "speed": speed,
        "quality": quality,
        "rows": "" if measured is None else measured.rows,
        "seconds": f"{result.wall_s:.1f}",
        "reason": result.reason or rejected or "",
    }
