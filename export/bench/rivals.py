"""Quantizes the same float graph with other tools, each in its own environment."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from export.errors import ExportFailed
from serve.base.tensor import Arrays
from serve.bundles.bundle import sha256

_PINNED = (f"onnxruntime=={onnxruntime.__version__}",)
# Olive does not declare that it needs `requests`; torch is pinned, because a newer one would install CUDA.
_OLIVE = ("olive-ai==0.13.0", "torch==2.13.0", "requests", *_PINNED)
_NNCF = ("nncf==3.4.0", "onnx", *_PINNED)
_LONGEST_S = 1800


@dataclass(frozen=True, kw_only=True)
class RivalRecipe:
    """How another tool quantizes."""

    tool: str
    # (float graph, archive of calibration batches, file to write, folder of environments)
    make: Callable[[Path, Path, Path, Path], None]


def make_rivals(graph: Path, batches: list[Arrays], folder: Path) -> dict[str, tuple[str, Path]]:
    """Return, by name, the tool and its graph, made from the float `graph` and calibration batches of a few
    texts.

    Graphs that were made from the same inputs are reused. Raises ExportFailed."""
    graph, folder = graph.resolve(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "calibration.npz"
    np.savez(archive, **{f"{key}_{n}": batch[key] for n, batch in enumerate(batches) for key in batch})  # type: ignore[arg-type]
    content = b"".join(value.tobytes() for batch in batches for _, value in sorted(batch.items()))
    digest = sha256(graph.read_bytes() + content)[:16]
    made = {}
    for name, recipe in RIVALS.items():
        target = folder / f"{name}-{digest}.onnx"
        if not target.exists():
            sys.stderr.write(f"{name}: making its graph, some minutes the first time\n")
            scratch = folder / f".{name}.onnx"
            recipe.make(graph, archive, scratch, folder)
            scratch.replace(target)
        made[name] = (recipe.tool, target)
    return made


def _default(graph: Path, archive: Path, target: Path, folder: Path) -> None:
    quantize_dynamic(graph, target)


def _unsigned(graph: Path, archive: Path, target: Path, folder: Path) -> None:
    quantize_dynamic(graph, target, weight_type=QuantType.QUInt8)


def _per_channel(graph: Path, archive: Path, target: Path, folder: Path) -> None:
    quantize_dynamic(graph, target, weight_type=QuantType.QInt8, per_channel=True)


def _olive(graph: Path, archive: Path, target: Path, folder: Path) -> None:
    binaries = _environment(folder / "olive", _OLIVE)
    out = folder / "olive-out"
    command = [
        str(binaries / "olive"),
        "run-pass",
        "--pass-name",
        "OnnxDynamicQuantization",
        "-m",
        str(graph),
    ]
    # The tool leaves a cache in the current folder.
    _run([*command, "-o", str(out), "--disable_telemetry"], folder)
    made = sorted(out.rglob("*.onnx"))
    if len(made) != 1:
        raise ExportFailed(
            f"Olive left {len(made)} graphs in {out}, expected one; run it by hand to see its messages"
        )
    made[0].replace(target)


def _nncf(graph: Path, archive: Path, target: Path, folder: Path) -> None:
    binaries = _environment(folder / "nncf", _NNCF)
    script = Path(__file__).with_name("rival_nncf.py")
    _run([str(binaries / "python"), str(script), str(graph), str(archive), str(target)])


RIVALS = {
    "ort-default": RivalRecipe(tool="onnxruntime", make=_default),
    "ort-quint8": RivalRecipe(tool="onnxruntime", make=_unsigned),
    "ort-qint8-channel": RivalRecipe(tool="onnxruntime", make=_per_channel),
    "olive": RivalRecipe(tool="Olive 0.13", make=_olive),
    "nncf": RivalRecipe(tool="NNCF 3.4", make=_nncf),
}


def _environment(folder: Path, requirements: tuple[str, ...]) -> Path:
    """Return the folder of programs of a virtual environment with these requirements, created on demand."""
    ready = folder / "ready.txt"
    content = "\n".join(requirements)
    if not ready.exists() or ready.read_text() != content:
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(folder / "bin" / "pip"), "install", "--quiet", *requirements])
        ready.write_text(content)
    return folder / "bin"


def _run(command: list[str], folder: Path | None = None) -> None:
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=_LONGEST_S, env=environment, cwd=folder, check=False
    )
    if result.returncode != 0:
        output = "\n".join((result.stdout + result.stderr).strip().splitlines()[-5:])
        raise ExportFailed(f"{' '.join(command[:4])} ... failed with {result.returncode}: {output}")
