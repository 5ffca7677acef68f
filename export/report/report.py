"""Renders the report page of a model: what each variant gains and costs, with the evidence."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from export.data.datasets import Data
from export.proof.confusion import arrange_confusions
from export.recipe import Recipe
from export.report import tables
from export.report.captions import describe_curves, describe_front
from export.report.charts import draw_classes, draw_curves, draw_front, draw_sensitivity, write_svg
from export.report.classes import list_classes
from export.report.disagreements import find_examples
from export.report.pareto import describe, to_point
from serve.base.atomic_file import write_whole
from serve.bundles.bundle import Bundle
from serve.tasks.task_table import TASKS

_TEMPLATE = Path(__file__).with_name("report.html.jinja")
# The folder of the trainings' TensorBoard events, beside the report.
_LOGS = ".work/logs"


def write_report(  # noqa: PLR0913 - all that the page is made of
    path: Path,
    recipe: Recipe,
    bundles: Mapping[str, Bundle],
    failed: Mapping[str, str],
    data: Data,
    *,
    classes: Sequence[str] = (),
) -> None:
    """Write the page on these bundles, and on the variants that `failed` with their reasons, completely or
    not at all.

    `classes` are the class names, as far as known."""
    logged = (path.parent / _LOGS).is_dir()
    write_whole(path, render(recipe, bundles, failed, data, logged=logged, classes=classes))


def render(  # noqa: PLR0913 - all that the page is made of
    recipe: Recipe,
    bundles: Mapping[str, Bundle],
    failed: Mapping[str, str],
    data: Data,
    *,
    logged: bool,
    classes: Sequence[str] = (),
) -> str:
    """Render the page as HTML; `logged`: there are TensorBoard events beside it."""
    ordered = _order(recipe, bundles)
    baseline = ordered[recipe.baseline]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text()).render(
        recipe=recipe,
        baseline=baseline,
        bundles=ordered,
        failed=failed,
        sentences={name: describe(bundle, baseline) for name, bundle in ordered.items()},
        tables=[
            table
            for table in (
                tables.quality(ordered, classes),
                tables.outputs(ordered),
                tables.speed(ordered),
                tables.graph_stats(ordered),
            )
            if table is not None
        ],
        curves={name: tables.curve(bundle) for name, bundle in ordered.items()},
        pictures=_draw(ordered, classes),
        sensitivities=_draw_sensitivities(ordered),
        each_class=list_classes(ordered, classes),
        counted=TASKS[recipe.task].item,
        confusions=arrange_confusions(ordered, classes),
        examples=find_examples(ordered, data.held_out, classes),
        steps={name: _describe_steps(bundle) for name, bundle in ordered.items()},
        written=yaml.safe_dump(recipe.model_dump(mode="json", exclude_defaults=True), sort_keys=False),
        logs=_LOGS if logged else None,
    )


def _order(recipe: Recipe, bundles: Mapping[str, Bundle]) -> dict[str, Bundle]:
    """Order the bundles: the baseline, the recipe's order, then variants that the recipe no longer makes."""
    names = dict.fromkeys([recipe.baseline, *recipe.variants, *sorted(bundles)])
    return {name: bundles[name] for name in names if name in bundles}


def _draw(bundles: Mapping[str, Bundle], classes: Sequence[str]) -> list[tuple[str, str]]:
    """Draw the charts, each with its caption."""
    standings = [to_point(bundle) for bundle in bundles.values()]
    pictures = [
        (write_svg("front", draw_front(standings)), describe_front(standings)),
        (write_svg("curves", draw_curves(bundles)), describe_curves(bundles)),
    ]
    if changes := draw_classes(bundles, classes):
        caption = "Change of each class's F1 against the baseline, the worst first."
        pictures.append((write_svg("classes", changes), caption))
    return pictures


def _draw_sensitivities(bundles: Mapping[str, Bundle]) -> list[tuple[str, str]]:
    charts: list[tuple[str, str]] = []
    for name, bundle in bundles.items():
        for step in bundle.figures.steps:
            blocks: Any = step.get("sensitivity")
            if blocks:
                charts.append((name, write_svg(f"sensitivity {name}", draw_sensitivity(blocks))))
    return charts


def _describe_steps(bundle: Bundle) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the name and the note of each step."""
    return [
        (
            str(step.get("step", "step")),
            [
                (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
                for name, value in step.items()
                if name not in ("step", "sensitivity")
            ],
        )
        for step in bundle.figures.steps
    ]
