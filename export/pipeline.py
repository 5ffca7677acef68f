"""Pipeline: a recipe becomes bundles. The only file that knows the order."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from export.datasets import Data, Labels, load_data, require_labels_below
from export.errors import ExportFailed
from export.evaluate import judge, measure, predict
from export.factories import importable
from export.graph import count_parameters
from export.provenance import describe_variants
from export.recipe import Recipe, load_recipe
from export.reproducible import reproducible, seed_everything
from export.sources import read_checkpoint
from export.to_onnx import Exported
from export.workshop import Workshop
from serve.bundle import (
    MODEL,
    Bundle,
    Figures,
    Provenance,
    describe_file,
    read_bundle,
    read_file,
    write_bundle,
)
from serve.errors import InvalidBundle, UnknownVariant
from serve.record import nearest
from serve.repository import StoredModel, read_model
from serve.session import Session

Status = Literal["built", "unchanged"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an export left in the repository."""

    model: StoredModel
    # Only the variants that were asked for and the baseline, which comes first.
    status: Mapping[str, Status]

    @property
    def rejected(self) -> list[str]:
        """The variants below the floor."""
        return [name for name in self.status if self.model.bundles[name].rejected]


def run(recipe_path: Path, out: Path, only: str | None = None, force: bool = False) -> Outcome:
    """Export the recipe's variants, or the baseline and `only` one, to `out`/<model>/<variant>.

    What stands there unchanged is kept, unless `force`. Raises CounterweightError; what was complete
    until then stays, and nothing else."""
    recipe = load_recipe(recipe_path)
    wanted = _choose(recipe, only)
    folder = recipe_path.resolve().parent
    with importable([folder, Path.cwd()]), reproducible(), _locked(out / recipe.model) as home:
        _remove_leftovers(home, recipe)
        checkpoint = read_checkpoint(recipe.source, folder)
        seed_everything(recipe.seed)
        data = load_data(recipe.data)
        provenance = describe_variants(recipe, folder, checkpoint, data)
        kept = {name for name in wanted if not force and _is_unchanged(home / name, provenance[name])}
        with tqdm(total=len(wanted) - len(kept), unit="variant", disable=len(kept) == len(wanted)) as bar:
            workshop = Workshop(recipe, checkpoint, data, bar.set_description)
            scale = _Scale(recipe, data, home)
            for variant in wanted:
                if variant not in kept:
                    exported = workshop.make(variant)
                    bar.set_description(f"{variant}: measure")
                    bundle = scale.weigh(variant, exported, provenance[variant])
                    write_bundle(home / variant, bundle, {MODEL: exported.graph})
                    bar.update()
        return Outcome(
            model=read_model(home), status={name: "unchanged" if name in kept else "built" for name in wanted}
        )


class _Scale:
    """Weighs variants against the baseline, whose answers it remembers."""

    def __init__(self, recipe: Recipe, data: Data, home: Path) -> None:
        self._recipe = recipe
        self._data = data
        self._home = home
        self._baseline: Labels | None = None

    def weigh(self, variant: str, exported: Exported, provenance: Provenance) -> Bundle:
        """The variant's finished bundle: its figures, and whether the floor refuses it."""
        _require_classifier(exported, self._data)
        file = describe_file(MODEL, exported.graph)
        draft = Bundle(
            model=self._recipe.model,
            variant=variant,
            baseline=self._recipe.baseline,
            rejected=None,
            files=(file,),
            signature=exported.signature,
            opset=self._recipe.opset,
            figures=Figures(
                parameters=count_parameters(exported.graph),
                model_size_bytes=file.size_bytes,
                parity=exported.parity,
                accuracy=0,
                macro_f1=0,
                agreement=0,
            ),
            provenance=provenance,
        )
        predicted = self._predict(draft, exported.graph)
        baseline = predicted if variant == draft.baseline else self._baseline_answers()
        labels = self._data.held_out.labels
        quality = measure(predicted, baseline, labels)
        figures = draft.figures.model_copy(update=quality.model_dump())
        refusal = judge(self._recipe.floor, quality, measure(baseline, baseline, labels))
        return draft.model_copy(update={"figures": figures, "rejected": refusal})

    def _predict(self, draft: Bundle, graph: bytes) -> Labels:
        """What production's own loader makes of the bundle before it is in the repository."""
        with tempfile.TemporaryDirectory(prefix="counterweight-") as name:
            folder = Path(name) / draft.variant
            write_bundle(folder, draft, {MODEL: graph})
            return predict(Session(folder), self._data.held_out)

    def _baseline_answers(self) -> Labels:
        if self._baseline is None:
            self._baseline = predict(Session(self._home / self._recipe.baseline), self._data.held_out)
        return self._baseline


def _choose(recipe: Recipe, only: str | None) -> list[str]:
    """The variants to export, the baseline first: the others are weighed against it."""
    if only is not None and only not in recipe.variants:
        raise UnknownVariant(f"the recipe has no variant {only!r}; {nearest(only, recipe.variants)}")
    others = recipe.variants if only is None else [only]
    return [recipe.baseline, *(name for name in others if name != recipe.baseline)]


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[Path]:
    """The model's folder, for one export at a time; gone again if nothing came of it."""
    home.mkdir(parents=True, exist_ok=True)
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportFailed(f"another export is writing to {home}; wait for it to end") from None
        yield home
    finally:
        with contextlib.suppress(OSError):  # it holds bundles
            home.rmdir()
        os.close(handle)


def _remove_leftovers(home: Path, recipe: Recipe) -> None:
    """Clear what an export that was killed while writing has left."""
    for variant in recipe.variants:
        for leftover in home.glob(f".{variant}.*"):
            shutil.rmtree(leftover)


def _is_unchanged(folder: Path, provenance: Provenance) -> bool:
    try:
        bundle = read_bundle(folder)
        for file in bundle.files:
            read_file(folder, bundle, file.path)
    except InvalidBundle:
        return False
    return bundle.provenance.fingerprint == provenance.fingerprint


def _require_classifier(exported: Exported, data: Data) -> None:
    scores = exported.signature.outputs[0]
    if len(scores.shape) != 2 or not isinstance(scores.shape[1], int):
        raise ExportFailed(
            f"the first output {scores.name} has the shape {list(scores.shape)}; quality is measured on "
            "classifiers: one score per class in each row, [batch, classes]"
        )
    require_labels_below(data, scores.shape[1])
