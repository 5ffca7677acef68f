"""Show: one model's bundles side by side, as a table for people and as JSON for programs."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from serve.repository import StoredModel, read_model


def show(arguments: list[str]) -> int:
    """The `show` command: exit code 0, or 2 when the folder holds no sound model."""
    parser = argparse.ArgumentParser(
        prog="counterweight show",
        description="Show the bundles of one model: size, quality on held-out data, and who was rejected.",
        epilog="example: counterweight show models/digits",
    )
    parser.add_argument("folder", type=Path, help="a model's folder in the repository, such as models/digits")
    parser.add_argument("--json", action="store_true", help="print the same figures as JSON")
    options = parser.parse_args(arguments)
    description = describe(read_model(options.folder.resolve()))
    sys.stdout.write((json.dumps(description, indent=2) if options.json else table(description)) + "\n")
    return 0


def describe(model: StoredModel) -> dict[str, Any]:
    """The model's bundles as plain data, schema version 1, the baseline first."""
    names = sorted(model.bundles, key=lambda name: (name != model.baseline, name))
    return {
        "schema_version": 1,
        "model": model.name,
        "baseline": model.baseline,
        "variants": [
            {
                "variant": name,
                "model_size_bytes": bundle.figures.model_size_bytes,
                "parameters": bundle.figures.parameters,
                "accuracy": bundle.figures.accuracy,
                "macro_f1": bundle.figures.macro_f1,
                "agreement": bundle.figures.agreement,
                "held_out_rows": bundle.provenance.data["held_out"].rows,
                "rejected": bundle.rejected,
                "digest": bundle.digest,
            }
            for name, bundle in ((name, model.bundles[name]) for name in names)
        ],
    }


def table(description: dict[str, Any]) -> str:
    """`describe`'s figures as a table."""
    rows = [
        [
            variant["variant"],
            f"{variant['model_size_bytes'] / 1024:.0f}",
            f"{variant['parameters']:,}",
            f"{variant['accuracy']:.4f}",
            f"{variant['macro_f1']:.4f}",
            f"{variant['agreement']:.4f}",
            variant["digest"][:12],
            variant["rejected"] or "accepted",
        ]
        for variant in description["variants"]
    ]
    head = ["variant", "KiB", "parameters", "accuracy", "macro-F1", "agreement", "digest", "floor"]
    return tabulate(rows, head, disable_numparse=True, colalign=["left"] + ["right"] * 5 + ["left"] * 2)
