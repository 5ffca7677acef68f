"""Measures a candidate from another source on its model's held-out rows and judges it by the floor."""

from pathlib import Path

from export.adding.add import choose_place, read_fitting
from export.adding.candidate import Candidate
from export.cache import Cache
from export.errors import InvalidSource
from export.evaluator import Evaluator
from export.factories import importable
from export.model_and_data import read_model_and_data
from export.onnx.from_onnx import from_onnx
from export.pipeline import CACHE_FOLDER
from export.progress import progress
from export.provenance import describe_origin, describe_variants, digest_origin
from export.recipe import Recipe, load_recipe
from export.reproducible import reproducible
from export.sandbox.model_lock import locked
from serve.bundles.bundle import Provenance
from serve.bundles.repository import StoredModel, read_model


def prove(recipe_path: Path, out: Path, variant: str, path: Path) -> Path:
    """Measure the candidate at `path` beside the baseline in `out`, and write its bundle. Returns the
    bundle's folder.

    Raises CounterweightError, in which case nothing is written."""
    recipe = load_recipe(recipe_path)
    folder = recipe_path.resolve().parent
    with importable([folder, Path.cwd()]), reproducible(recipe.threads), locked(out / recipe.model) as home:
        stored = read_model(home)
        place = choose_place(stored, variant)
        _measure(recipe, folder, stored, variant, read_fitting(stored, path))
    return place


def _measure(recipe: Recipe, folder: Path, stored: StoredModel, variant: str, candidate: Candidate) -> None:
    with progress() as say:
        say("reading the model and the data")
        trained, data = read_model_and_data(recipe, folder)
        exported = from_onnx(candidate.graph, data.calibration, tuple(recipe.named_outputs))
        if exported.signature != stored.signature:
            actual, expected = (
                each.model_dump(mode="json") for each in (exported.signature, stored.signature)
            )
            raise InvalidSource(
                f"{candidate.name} has the signature {actual} on the recipe's rows, the baseline has "
                f"{expected}; convert it again"
            )
        origin = describe_origin(recipe, folder, trained, data)
        provenance = _provenance(describe_variants(recipe, folder, origin)[recipe.baseline], candidate)
        evaluator = Evaluator(
            recipe, trained, data, Cache(stored.folder / CACHE_FOLDER, digest_origin(origin)), stored.folder
        )
        evaluator.load(variant, exported)
        evaluator.measure({variant: provenance}, say)


def _provenance(of_baseline: Provenance, candidate: Candidate) -> Provenance:
    """Return the recipe's provenance with the candidate as the source of the graph."""
    update = {
        "fingerprint": candidate.sha256,
        "source": {**of_baseline.source, "added": candidate.name},
        "trained_sha256": candidate.sha256,
    }
    return of_baseline.model_copy(update=update)
