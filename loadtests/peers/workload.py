"""Defines which model is served, how its traffic is split, and which requests are sent."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadtests.errors import LoadTestError
from loadtests.peers.body_form import Arrays

_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One model under load."""

    model: str
    # Variant -> share of our traffic, the baseline first; the other servers serve only the baseline.
    weights: Mapping[str, int]
    # Maximum batch of servers with batching: the knee of the bundle's batch curve, or 1 if the model is so
    # small that batching costs more than it saves.
    batch_rows: int
    # Draws the inputs of one request, of shape [1, ...].
    draw: Callable[[np.random.Generator], Arrays]

    @property
    def baseline(self) -> str:
        """The variant that all servers share."""
        return next(iter(self.weights))


def _draw_image(rng: np.random.Generator) -> Arrays:
    return {"image": rng.random((1, 1, 8, 8), np.float32)}


def _draw_tokens(rng: np.random.Generator) -> Arrays:
    # In a BERT vocabulary, ids below 1,000 are special, and there are none above 30,521.
    ids = rng.integers(1_000, 30_000, (1, _TOKENS))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


DIGITS = Workload(model="digits", weights={"fp32": 90, "slim-int8": 10}, batch_rows=1, draw=_draw_image)
MINILM = Workload(model="minilm", weights={"fp32": 100}, batch_rows=8, draw=_draw_tokens)


def draw_rows(workload: Workload, rows: int) -> list[Arrays]:
    """Draw seeded inputs, one row per request."""
    rng = np.random.default_rng(0)
    return [workload.draw(rng) for _ in range(rows)]


def copy_repository(models: Path, workload: Workload, folder: Path, copies: int = 1) -> Path:
    """Copy the workload's variants into a repository in `folder`, with further copies of the model under
    other names.

    Raises LoadTestError if a variant is missing."""
    for number in range(copies):
        name = workload.model if number == 0 else f"{workload.model}-{number}"
        for variant in workload.weights:
            source, target = models / workload.model / variant, folder / name / variant
            if not (source / "bundle.json").exists():
                raise LoadTestError(
                    f"{source} does not contain a bundle; run `make {workload.model}`, or give another "
                    "repository"
                )
            shutil.copytree(source, target)
            bundle = json.loads((target / "bundle.json").read_text())
            (target / "bundle.json").write_text(json.dumps(bundle | {"model": name}))
    return folder
