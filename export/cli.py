"""Runs the `counterweight export` command."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.sandbox.isolation import Result


def export(arguments: list[str]) -> int:
    """Run the command. The exit code is 0, or 1 if a variant failed or the quality floor rejected it. Raises
    CounterweightError."""
    parser = argparse.ArgumentParser(
        prog="counterweight export",
        description="Build a recipe's variants: prune, fine-tune, quantize, check against torch, measure on "
        "held-out data, and write each as a bundle. Unchanged variants are not built again.",
        epilog="example: counterweight export export/recipes/digits.yaml --out models",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="the recipe to export")
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="the repository to write to (default: models)"
    )
    parser.add_argument(
        "--only", metavar="NAME", help="build only this variant, and the baseline if it has changed"
    )
    parser.add_argument("--force", action="store_true", help="also build unchanged variants")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    options = parser.parse_args(arguments)

    # These imports are slow, and --help does not need them.
    from export.sandbox.isolation import export_in_sandbox
    from serve.tasks.show import table

    result = export_in_sandbox(options.recipe, options.out, options.only, options.force)
    description = describe_result(result)
    sys.stdout.write((json.dumps(description, indent=2) if options.json else table(description)) + "\n")
    sys.stderr.write(describe_remarks(result))
    rejected = any(variant["rejected"] for variant in description["variants"])
    return 1 if rejected or result.failed else 0


def describe_result(result: "Result") -> dict[str, Any]:
    """Return the exported bundles as plain data, with what became of each variant."""
    from serve.bundles.repository import read_model
    from serve.tasks.show import describe

    description = describe(read_model(result.folder))
    description["variants"] = [
        {**variant, "status": result.status[variant["variant"]]}
        for variant in description["variants"]
        if result.status.get(variant["variant"], "failed") != "failed"
    ]
    description["failed"] = result.failed
    description["report"] = str(result.report)
    return description


def describe_remarks(result: "Result") -> str:
    """Return remarks that the table does not contain, one per line."""
    lines = [f"failed: {reason}" for reason in result.failed.values()]
    kept = [variant for variant, status in result.status.items() if status == "unchanged"]
    if kept:
        lines.append(f"unchanged, not built again: {', '.join(kept)} (build them with --force)")
    if result.stale:
        lines.append(
            f"not up to date with this recipe: {', '.join(result.stale)} (export them again, or remove their "
            "folders)"
        )
    lines.append(f"report: {result.report}")
    return "\n".join(lines) + "\n"
