"""Caches finished work on disk, so that an interrupted export resumes where it stopped.

An entry is a folder that is renamed into place when it is complete. Unreadable entries are ignored."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.torch
import torch

from export.artifacts import Exported, Made, Note
from export.proof.held_out import Answers
from serve.base.tensor import Signature
from serve.bundles.bundle import MODEL, sha256
from serve.bundles.figures import Parity
from serve.bundles.onnx_graph import read_written, write_graph

_Entry = TypeVar("_Entry")

_SCRATCH = ".scratch"
_LOGS = "logs"


class Cache:
    """Entries by key: torch models between steps, graphs, answers."""

    def __init__(self, folder: Path, origin: str) -> None:
        """Keep entries in `folder`, which is created if needed.

        `origin` is the digest of everything except the steps that determines a result."""
        self._folder = folder
        self._origin = origin
        folder.mkdir(parents=True, exist_ok=True)

    def key(self, *facts: Any) -> str:
        """Return the key for these facts, which must be plain data."""
        return sha256(json.dumps([self._origin, *facts], sort_keys=True).encode())

    def save_made(self, key: str, made: Made) -> None:
        """Save a torch model: its weights and the structural changes needed to rebuild the module."""

        def write(folder: Path) -> None:
            facts = {"surgery": made.surgery, "pruned": sorted(made.pruned), "notes": made.notes}
            (folder / "made.json").write_text(json.dumps(facts))
            safetensors.torch.save_model(made.module, str(folder / "weights.safetensors"))

        self._save(key, write)
        shutil.rmtree(self._folder / f"{key}{_SCRATCH}", ignore_errors=True)

    def load_made(self, key: str, build: Callable[[tuple[Note, ...]], torch.nn.Module]) -> Made | None:
        """Load the torch model under `key`; `build` makes a module of its shape from the structural
        changes."""

        def read(folder: Path) -> Made:
            facts = json.loads((folder / "made.json").read_text())
            module = build(tuple(facts["surgery"]))
            safetensors.torch.load_model(module, str(folder / "weights.safetensors"))
            return Made(
                module=module.eval(),
                surgery=tuple(facts["surgery"]),
                pruned=frozenset(facts["pruned"]),
                notes=tuple(facts["notes"]),
            )

        return self._load(key, read)

    def save_exported(self, key: str, exported: Exported) -> None:
        """Save a graph."""

        def write(folder: Path) -> None:
            facts = {
                "signature": exported.signature.model_dump(mode="json"),
                "parity": exported.parity and exported.parity.model_dump(mode="json"),
                "notes": exported.notes,
            }
            (folder / "exported.json").write_text(json.dumps(facts))
            write_graph(exported.graph, folder / MODEL)

        self._save(key, write)

    def load_exported(self, key: str) -> Exported | None:
        """Load the graph under `key`."""

        def read(folder: Path) -> Exported:
            facts = json.loads((folder / "exported.json").read_text())
            return Exported(
                graph=read_written(folder / MODEL),
                signature=Signature.model_validate(facts["signature"]),
                parity=facts["parity"] and Parity.model_validate(facts["parity"]),
                notes=tuple(facts["notes"]),
            )

        return self._load(key, read)

    def save_answers(self, key: str, answers: Answers) -> None:
        """Save a graph's answers to the held-out split."""
        # numpy does not name a full disk in its error, so the file is made in memory. Arrays are numbered,
        # because output names may be any text.
        content = io.BytesIO()
        np.savez(content, np.array(list(answers)), *answers.values(), allow_pickle=False)
        self._save(key, lambda folder: (folder / "answers.npz").write_bytes(content.getvalue()))

    def load_answers(self, key: str) -> Answers | None:
        """Load the answers under `key`."""

        def read(folder: Path) -> Answers:
            # The file is read first, because numpy leaves a broken file open.
            content = io.BytesIO((folder / "answers.npz").read_bytes())
            with np.load(content, allow_pickle=False) as kept:
                names, *arrays = (kept[f"arr_{number}"] for number in range(len(kept.files)))
                return dict(zip(names.tolist(), arrays, strict=True))

        return self._load(key, read)

    def scratch(self, key: str) -> Path:
        """Return a folder for unfinished work on `key`; `save_made` removes it."""
        folder = self._folder / f"{key}{_SCRATCH}"
        folder.mkdir(exist_ok=True)
        return folder

    def logs(self, name: str) -> Path:
        """Return a folder for the TensorBoard events of one training."""
        return self._folder / _LOGS / name

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove everything except these entries and the logs."""
        keep = {_LOGS, *keys}
        for path in self._folder.iterdir():
            if path.name not in keep:
                shutil.rmtree(path)

    def _save(self, key: str, write: Callable[[Path], Any]) -> None:
        new = Path(tempfile.mkdtemp(prefix=".", dir=self._folder))
        try:
            write(new)
            shutil.rmtree(self._folder / key, ignore_errors=True)
            new.rename(self._folder / key)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _load(self, key: str, read: Callable[[Path], _Entry]) -> _Entry | None:
        folder = self._folder / key
        if folder.is_dir():
            with suppress(
                OSError, ValueError, KeyError, RuntimeError, BadZipFile, safetensors.SafetensorError
            ):
                return read(folder)
        return None
