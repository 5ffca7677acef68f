"""The `show` command: one model's bundles side by side, as a table or as JSON."""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from serve.bundles.figures import Compared, Estimate, Figures, Speed, find_common_rows
from serve.bundles.repository import StoredModel, read_model
from serve.tasks.criterion import explain_likeness, warn_of_neighbours
from serve.tasks.task_table import FIGURES, QualityFigure

_LEADING_ZERO = re.compile(r"^([+-]?)0\.")


def show(arguments: list[str]) -> int:
    """Run the `show` command. Returns exit code 0, or 2 if the folder has no valid model."""
    parser = argparse.ArgumentParser(
        prog="counterweight show",
        description="Show the bundles of one model: size, quality on held-out data, speed, and rejections.",
        epilog="example: counterweight show models/digits",
    )
    parser.add_argument("folder", type=Path, help="the folder of a model, such as models/digits")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    options = parser.parse_args(arguments)
    description = describe(read_model(options.folder.resolve()))
    sys.stdout.write((json.dumps(description, indent=2) if options.json else table(description)) + "\n")
    return 0


def describe(model: StoredModel) -> dict[str, Any]:
    """The model's bundles as plain data, schema version 2: the baseline first, then in the recipe's order."""
    return {
        "schema_version": 2,
        "model": model.name,
        "baseline": model.baseline,
        "variants": [
            {
                "variant": name,
                "rejected": bundle.rejected,
                "unproven": bundle.unproven,
                "random_rows": bundle.random_rows,
                "rows": bundle.rows,
                "digest": bundle.digest,
                "mixed_by": bundle.mixed_by,
                "figures": bundle.figures.model_dump(mode="json"),
            }
            for name, bundle in model.bundles.items()
        ],
    }


def table(description: dict[str, Any]) -> str:
    """Format the figures of `describe` as a table with notes."""
    figures = {
        variant["variant"]: Figures.model_validate(variant["figures"]) for variant in description["variants"]
    }
    baseline = figures[description["baseline"]]
    # The JSON has all figures; a terminal has no room for more.
    shown = {
        name: figure.column
        for name, figure in FIGURES.items()
        if figure.column and getattr(baseline.quality, name) is not None
    }
    integers = any(item.integers for item in figures.values())
    common = find_common_rows(item.speed for item in figures.values())
    rows = []
    for variant, item in zip(description["variants"], figures.values(), strict=True):
        row = [variant["variant"], f"{item.model_size_bytes / 1024:.0f}", f"{item.parameters:,}"]
        row += [_integers(item)] if integers else []
        row += [_cell(FIGURES[name], getattr(item.quality, name)) for name in shown]
        row += [_faster(item.speed, 1)]
        row += [_faster(item.speed, common)] if common > 1 else []
        row += [_at_the_knee(item.speed)]
        rows.append([*row, variant["digest"][:12], _standing(variant)])
    head = ["variant", "KiB", "parameters", *(["integers"] if integers else [])]
    head += [*shown.values(), "1 row"]
    head += [*([f"{common} rows"] if common > 1 else []), "at the knee", "digest", "floor"]
    align = ["left", *["right"] * (len(head) - 3), "left", "left"]
    return "\n".join(
        [
            tabulate(rows, head, disable_numparse=True, colalign=align),
            *_reasons(description["variants"]),
            *_say_random(description),
            *_notes(figures, baseline),
        ]
    )


def _notes(figures: Mapping[str, Figures], baseline: Figures) -> list[str]:
    name = next(name for name, item in figures.items() if item is baseline)
    quality = baseline.quality
    return [
        f"quality on {quality.rows:,} held-out rows; brackets show the {quality.confidence:.0%} interval: of "
        f"the change against {name} if the numbers have a sign, else of the figure",
        *explain_likeness(quality),
        f"speed: CPU time of {name} divided by the variant's; above 1x is faster",
        *(
            ["integers: the integer share of the multiply-adds, and of the bytes of weights"]
            if any(item.integers for item in figures.values())
            else []
        ),
        *(
            f"!  {name}: {words}"
            for name, item in figures.items()
            if (words := warn_of_neighbours(item.quality))
        ),
        *(f"!  {name}: {item.mostly_float}" for name, item in figures.items() if item.mostly_float),
        *(f"!  {name}: {item.speed.warning}" for name, item in figures.items() if item.speed.warning),
    ]


def _standing(variant: Mapping[str, Any]) -> str:
    if variant["rejected"]:
        return "rejected"
    unproven = variant.get("unproven") or variant.get("random_rows")
    return "unproven" if unproven else "accepted"


def _reasons(variants: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why a variant was rejected, and other notes that do not fit into the table."""
    return [
        f"!  {variant['variant']}: {reason}"
        for variant in variants
        for reason in (
            f"rejected: {variant['rejected']}" if variant["rejected"] else "",
            _say_alone(variant) if variant.get("rows") == "alone" else "",
        )
        if reason
    ]


def _say_random(description: Mapping[str, Any]) -> list[str]:
    random = any(variant.get("random_rows") for variant in description["variants"])
    words = (
        "the rows were random, so nothing is known of the quality: export with data, or serve with --unproven"
    )
    return [f"!  {description['model']}: {words}"] if random else []


def _say_alone(variant: Mapping[str, Any]) -> str:
    if variant.get("unproven"):
        return "not measured: each row is run by itself, as the rows of a batch may affect each other"
    where = f" (first in {variant['mixed_by']})" if variant.get("mixed_by") else ""
    return f"the rows of a batch affect each other{where}, so each row is run by itself"


def _integers(figures: Figures) -> str:
    shares = figures.integers
    return f"{shares.multiply_adds:.0%}, {shares.weight_bytes:.0%}" if shares else "-"


def _cell(words: QualityFigure, figure: Compared | Estimate | None) -> str:
    """The figure, with its interval if it has one."""
    if figure is None:
        return "-"
    if figure.low == figure.high:
        return words.show(figure.value)
    sign = "+" if isinstance(figure, Compared) else ""
    low, high = (_LEADING_ZERO.sub(r"\1.", words.show(end, sign, 3)) for end in (figure.low, figure.high))
    return f"{words.show(figure.value)} [{low}, {high}]"


def _faster(speed: Speed, rows: int) -> str:
    """The speed-up at batches of `rows`, as a range over all lengths of text."""
    values = [point.speedup.value for point in speed.points if point.rows == rows]
    if not values:
        return "-"
    return f"{min(values):.2f}-{max(values):.2f}x" if len(values) > 1 else f"{values[0]:.2f}x"


def _at_the_knee(speed: Speed) -> str:
    faster = _faster(speed, speed.knee_rows)
    return faster if faster == "-" else f"{faster} at {speed.knee_rows}"
