"""Runs the `counterweight compress` command."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Most models are read and run on 256 rows in seconds.
_TIME_LIMIT_S = 600.0
_UNPROVEN = (
    "quality was not proven: the rows were random; for proof, give rows of your own with --inputs, or in the "
    "recipe's `data`"
)


def compress(arguments: list[str]) -> int:
    """Run the command. The exit code is 0, or 1 if no variant is accepted and lighter than the baseline.
    Raises CounterweightError."""
    options = _read_options(arguments)

    # These imports are slow, and --help does not need them.
    from export.cli import describe_remarks, describe_result
    from export.compress.compress_request import CompressRequest, Draft
    from export.sandbox.isolation import export_in_sandbox, run_in_sandbox
    from serve.base.errors import CounterweightError
    from serve.tasks.show import table

    request = CompressRequest.parse(
        {key: value for key, value in vars(options).items() if key != "json"}, "counterweight compress"
    )
    answer = run_in_sandbox("draft", request.model_dump(mode="json"), _TIME_LIMIT_S)
    draft = Draft.model_validate(answer)
    sys.stderr.write("".join(f"{reason}\n" for reason in draft.reasons))
    try:
        result = export_in_sandbox(draft.path, options.out, None, False)
    except CounterweightError:
        # Without a baseline, other options are wanted rather than another recipe.
        draft.path.unlink(missing_ok=True)
        raise
    description = describe_result(result)
    description["recipe"] = str(draft.path)
    sys.stdout.write((json.dumps(description, indent=2) if options.json else table(description)) + "\n")
    sys.stderr.write(describe_remarks(result))
    best = _find_best(description)
    sys.stderr.write(
        (f"{_UNPROVEN}\n" if request.inputs is None else "")
        + f"recipe: {draft.path}; after a change: counterweight export {draft.path} --out {options.out}\n"
        + (
            f"fastest accepted variant: {best}; serve it beside {description['baseline']}: "
            f"counterweight serve {options.out}{'' if request.inputs else ' --unproven'}\n"
            if best
            else "no accepted variant is faster than the baseline, which is ready to be served\n"
        )
    )
    return 0 if best else 1


def _read_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="counterweight compress",
        description="Compress a trained model without a recipe: guess its task, build the variants that can "
        "pay on this processor, prove and measure each one, and write the recipe for further changes.",
        epilog="example: counterweight compress model.onnx --inputs rows.npz --labels y",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="an ONNX file, a .pt2 file, or a Hugging Face folder"
    )
    parser.add_argument(
        "--inputs",
        type=Path,
        metavar="FILE",
        help="rows for the model: .npz, .npy, .parquet, .csv, .jsonl, or a folder of images; without them, "
        "the rows are random, which proves nothing about the quality",
    )
    parser.add_argument(
        "--labels", metavar="KEY", help="the array, column or key with the labels; for images, `folder`"
    )
    parser.add_argument("--task", metavar="NAME", help="what the answers mean (default: guessed)")
    parser.add_argument("--name", help="the name in the repository (default: that of the file)")
    parser.add_argument(
        "--images",
        type=_read_json,
        metavar="JSON",
        help='for a folder of images, such as \'{"size": [224, 224], "mean": [0], "scale": [255]}\'',
    )
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="the repository to write to (default: models)"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    return parser.parse_args(arguments)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not JSON: {error}; see the example of --help"
        ) from None


def _find_best(description: Mapping[str, Any]) -> str | None:
    """Return the accepted variant with the highest speed-up over the baseline in any measured batch; None if
    none is faster."""
    speedups = {
        variant["variant"]: max(point["speedup"]["low"] for point in variant["figures"]["speed"]["points"])
        for variant in description["variants"]
        if not variant["rejected"] and variant["variant"] != description["baseline"]
    }
    best = max(speedups, key=speedups.__getitem__, default=None)
    return best if best and speedups[best] > 1 else None
