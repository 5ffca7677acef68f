"""Reads the tokenizer and the class names that a recipe names for a model."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from export.artifacts import Trained
from export.data.tokenizer import KNOWN, NEEDED, Tokenizer
from export.errors import InvalidSource
from export.recipe import Beside
from export.sources.files import read_file
from serve.bundles.bundle import LABELS, sha256
from serve.bundles.meaning import Task
from serve.engine.text_input import TOKENIZER
from serve.tasks.task_table import TASKS

Inputs = Mapping[str, np.dtype[np.signedinteger]]


def read_tokenizer(source: Beside, folder: Path, inputs: Inputs) -> Tokenizer | None:
    """Read the recipe's tokenizer for a model with these inputs. Raises InvalidSource."""
    if source.tokenizer is None:
        return None
    if missing := [name for name in NEEDED if name not in inputs]:
        raise InvalidSource(
            f"the model takes {', '.join(inputs) or 'no input that a tokenizer gives'} and not "
            f"{' and '.join(missing)}, which {source.tokenizer} produces; rename its inputs, or remove "
            "`source.tokenizer`"
        )
    content = read_file(folder / source.tokenizer, "tokenizer")
    known = {name: inputs[name] for name in KNOWN if name in inputs}
    return Tokenizer(source.tokenizer, content, source.max_tokens, inputs=known)


def read_labels(source: Beside, folder: Path, task: Task) -> tuple[str, ...]:
    """Read the class names, in the order of the scores; none if the recipe names none. Raises
    InvalidSource."""
    if source.labels is None:
        return ()
    if not TASKS[task].names_classes:
        raise InvalidSource(
            f"`source.labels` is {source.labels}, but the task {task} has no classes; remove it"
        )
    text = _decode(source.labels, read_file(folder / source.labels, "labels"))
    try:
        names = json.loads(text) if text.lstrip().startswith(("[", "{")) else text.split("\n")
    except ValueError as error:
        raise InvalidSource(f"{source.labels} is not JSON: {error}; give a list of names") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidSource(f"{source.labels} is not a list of names; give a list, or one name per line")
    return tuple(name.strip() for name in names)


def complete(trained: Trained, tokenizer: Tokenizer | None, labels: tuple[str, ...]) -> Trained:
    """Add these files to the model, which puts them into every bundle and into the model's digest."""
    assets = dict(trained.assets)
    if tokenizer is not None:
        assets[TOKENIZER] = tokenizer.content
    if labels:
        assets[LABELS] = json.dumps(labels, indent=2, ensure_ascii=False).encode() + b"\n"
    digest = "".join([trained.sha256, *(sha256(assets[name]) for name in sorted(assets))])
    return replace(
        trained,
        tokenizer=tokenizer,
        assets=assets,
        sha256=sha256(digest.encode()) if assets else trained.sha256,
    )


def _decode(name: str, content: bytes) -> str:
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise InvalidSource(f"{name} is not UTF-8: {error}; save it as text in UTF-8") from None
