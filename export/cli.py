"""The `export` command."""

import argparse
import json
import sys
from pathlib import Path


def export(arguments: list[str]) -> int:
    """Exit code 0, or 1 when the quality floor rejected a variant. Raises CounterweightError."""
    parser = argparse.ArgumentParser(
        prog="counterweight export",
        description="Make a recipe's variants: prune, fine-tune, quantize, check against torch, measure on "
        "held-out data, and write each as a bundle. An unchanged variant is not built again.",
        epilog="example: counterweight export export/recipes/digits.yaml --out models",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="the recipe to export")
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="the repository to write to; default: models"
    )
    parser.add_argument(
        "--only", metavar="NAME", help="make this variant alone, and the baseline if it is due"
    )
    parser.add_argument("--force", action="store_true", help="build variants that are unchanged, too")
    parser.add_argument("--json", action="store_true", help="print the same figures as JSON")
    options = parser.parse_args(arguments)

    # torch takes seconds to import, and --help needs none of it.
    from export.pipeline import run
    from serve.show import describe, table

    outcome = run(options.recipe, options.out, options.only, options.force)
    description = describe(outcome.model)
    description["variants"] = [
        {**variant, "status": outcome.status[variant["variant"]]}
        for variant in description["variants"]
        if variant["variant"] in outcome.status
    ]
    sys.stdout.write((json.dumps(description, indent=2) if options.json else table(description)) + "\n")
    kept = [variant for variant, status in outcome.status.items() if status == "unchanged"]
    if kept:
        sys.stderr.write(f"unchanged, so not built again: {', '.join(kept)} (--force builds them)\n")
    return 1 if outcome.rejected else 0
