"""Measures the targets of compression in one interleaved run (`make bench-export`).

python -m export.bench models --json build/bench-export.json"""

import argparse
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from export.bench.calibration_memory import measure_calibration
from export.bench.front import find_front, judge_targets
from export.bench.images import BATCHES, measure_images
from export.bench.report import CompressionReport, TextPoint, show
from export.bench.rivals import make_rivals
from export.bench.texts import SHAPES, encode, measure_texts
from export.cpu import read_cpu
from export.recipes.minilm import minilm_data
from serve.base.errors import CounterweightError
from serve.bundles.bundle import MODEL, Bundle
from serve.bundles.repository import StoredModel, read_model

_RIVALS = Path("build", "rivals")
# 75 batches of 4 texts, the calibration size of NNCF's own examples of transformers.
_CALIBRATION_TEXTS = 300
_BATCH_TEXTS = 4


def measure(models: Path) -> CompressionReport:
    """Measure everything, with the bundles in `models`. Raises CounterweightError."""
    minilm, digits = read_model(models / "minilm"), read_model(models / "digits-resnet")
    graphs, tokenizer = _graphs(minilm), minilm.folder / minilm.baseline / "tokenizer.json"
    splits = {name: rows["text"] for name, (rows, _) in minilm_data(train=0).items()}
    batches = encode(tokenizer, splits["search"][:_CALIBRATION_TEXTS], _BATCH_TEXTS)
    rivals = make_rivals(graphs[minilm.baseline], batches, _RIVALS)
    graphs |= {name: path for name, (_, path) in rivals.items()}
    tools = {name: tool for name, (tool, _) in rivals.items()}
    texts = measure_texts(graphs, tools, tokenizer, splits["held_out"])
    images = measure_images(_graphs(digits), digits.bundles)
    inputs = _RIVALS / "inputs.npz"
    # One batch, so that all rows have the same padding.
    [whole] = encode(tokenizer, splits["calibration"], len(splits["calibration"]))
    np.savez(inputs, **dict(whole))  # type: ignore[arg-type]
    front = find_front(texts)
    return CompressionReport(
        cpu=read_cpu(),
        versions={"python": platform.python_version(), "onnxruntime": onnxruntime.__version__},
        shapes=SHAPES,
        batches=BATCHES,
        minilm=texts,
        digits_resnet=images,
        calibration=measure_calibration(graphs[minilm.baseline], inputs),
        front=front,
        targets=judge_targets(texts, images, front, _find_silent(texts, minilm.bundles)),
    )


def _graphs(model: StoredModel) -> dict[str, Path]:
    """Return the graphs of the servable variants, the baseline's first."""
    names = [model.baseline, *(name for name in model.servable if name != model.baseline)]
    return {name: model.folder / name / MODEL for name in names}


def _find_silent(texts: tuple[TextPoint, ...], bundles: Mapping[str, Bundle]) -> list[str]:
    """Return our variants that were slower than fp32 at a shape without a warning in their bundle."""
    return [
        point.name
        for point in texts
        if point.tool is None and min(point.speedups) < 0.97 and not bundles[point.name].figures.speed.warning
    ]


def main(arguments: list[str]) -> int:
    """Run the benchmark. The exit code is 0, 1 if a target is missed, or 2 if something to measure is
    missing."""
    parser = argparse.ArgumentParser(
        prog="python -m export.bench",
        description="Measure minilm and digits-resnet, and other tools on the same graph, in one run. "
        "Needs their exports (make minilm digits-resnet); makes environments of the other tools.",
        epilog="example: python -m export.bench models --json build/bench-export.json",
    )
    parser.add_argument("models", type=Path, help="the repository with both models")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report to this file")
    options = parser.parse_args(arguments)
    try:
        report = measure(options.models)
    except CounterweightError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_code
    sys.stdout.write(show(report) + "\n")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(report.model_dump_json(indent=2) + "\n")
    return 0 if all(target.met for target in report.targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
