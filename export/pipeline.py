"""Runs an export: a recipe becomes bundles. Only this module knows the order of the work."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from export.cache import Cache
from export.errors import ExportFailed
from export.factories import importable
from export.model_and_data import read_model_and_data
from export.outdated import OUTDATED, added, reject_outdated
from export.progress import Say, progress
from export.provenance import describe_origin, describe_variants, digest_origin
from export.recipe import Recipe, load_recipe
from export.reproducible import reproducible
from export.sandbox.model_lock import locked
from serve.base.errors import CounterweightError, InvalidBundle, UnknownVariant
from serve.base.record import nearest
from serve.bundles.bundle import Bundle, Provenance, read_bundle, verify_file, write_manifest
from serve.bundles.labels_file import read_labels
from serve.bundles.repository import StoredModel, read_model

if TYPE_CHECKING:
    from export.evaluator import Evaluator
    from export.variant_builder import VariantBuilder

CACHE_FOLDER = ".work"
REPORT = "report.html"
Status = Literal["built", "unchanged", "failed"]


@dataclass(frozen=True, kw_only=True)
class ExportOutcome:
    """The result of an export."""

    model: StoredModel
    # Only the exported variants and the baseline, which comes first.
    status: Mapping[str, Status]
    # Why a variant has no bundle, or only that of an earlier export.
    failed: Mapping[str, str] = field(default_factory=dict)
    # Bundles in the repository that the current recipe would not make.
    stale: tuple[str, ...] = ()

    @property
    def rejected(self) -> list[str]:
        """The variants below the floor."""
        return [name for name in self.status if name not in self.failed and self.model.bundles[name].rejected]


def run(recipe_path: Path, out: Path, only: str | None = None, force: bool = False) -> ExportOutcome:
    """Export all variants of the recipe, or the baseline and `only` one, to `out`/<model>/<variant>.

    Unchanged bundles are kept unless `force` is set, and an interrupted export resumes where it stopped. If a
    variant fails, the failure is reported and the others continue. Raises CounterweightError if there is no
    baseline."""
    recipe = load_recipe(recipe_path)
    selected = _choose(recipe, only)
    try:
        return _run(recipe, recipe_path.resolve().parent, out, selected, force)
    except OSError as error:
        raise ExportFailed(
            f"{error.filename or out}: {error.strerror or error}; correct this and export again; finished "
            "work is kept"
        ) from error


def _run(recipe: Recipe, folder: Path, out: Path, selected: list[str], force: bool) -> ExportOutcome:
    with (
        importable([folder, Path.cwd()]),
        reproducible(recipe.threads),
        locked(out / recipe.model) as home,
        progress() as say,
    ):
        _remove_leftovers(home, recipe, force)
        say("reading the model and the data")
        trained, data = read_model_and_data(recipe, folder)
        origin = describe_origin(recipe, folder, trained, data)
        provenance = describe_variants(recipe, folder, origin)
        due = [name for name in selected if force or not _is_unchanged(home / name, provenance[name])]
        failed: dict[str, str] = {}
        if due:
            # These imports are slow, and an export without changes does not need them.
            from export.evaluator import Evaluator
            from export.variant_builder import VariantBuilder

            cache = Cache(home / CACHE_FOLDER, digest_origin(origin))
            builder = VariantBuilder(recipe, trained, data, cache, say)
            evaluator = Evaluator(recipe, trained, data, cache, home)
            failed = _build(recipe, due, builder, evaluator, say)
            evaluator.measure(provenance, say)
            if not failed:
                cache.sweep({*builder.torch_keys, *evaluator.keys})
        changed = reject_outdated(home, read_bundle(home / recipe.baseline))
        stored = read_model(home)
        model = _arrange(stored, recipe)
        if due or changed or model is not stored or not (home / REPORT).exists():
            from export.report.report import write_report

            proven = {name: bundle for name, bundle in model.bundles.items() if not bundle.unproven}
            classes = read_labels(home / recipe.baseline)
            write_report(home / REPORT, recipe, proven, failed, data, classes=classes)
    return ExportOutcome(
        model=model,
        status={
            name: "failed" if name in failed else "built" if name in due else "unchanged" for name in selected
        },
        failed=failed,
        stale=_find_stale(model, provenance, {*selected} - {*failed}),
    )


def _build(
    recipe: Recipe, due: Sequence[str], builder: "VariantBuilder", evaluator: "Evaluator", say: Say
) -> dict[str, str]:
    """Build these variants and load them for the measurement; return why others than the baseline failed."""
    failed: dict[str, str] = {}
    for variant in due:
        try:
            evaluator.load(variant, builder.make(variant))
        except CounterweightError as error:
            if variant == recipe.baseline:
                raise
            failed[variant] = str(error)
            say(f"failed (the other variants continue): {error}")
    return failed


def _choose(recipe: Recipe, only: str | None) -> list[str]:
    """Return the variants to export, with the baseline first, because the others are compared with it."""
    if only is not None and only not in recipe.variants:
        raise UnknownVariant(f"the recipe has no variant {only!r}; {nearest(only, recipe.variants)}")
    others = recipe.variants if only is None else [only]
    return [recipe.baseline, *(name for name in others if name != recipe.baseline)]


def _remove_leftovers(home: Path, recipe: Recipe, force: bool) -> None:
    """Remove what an interrupted export has left while writing."""
    for variant in recipe.variants:
        for leftover in home.glob(f".{variant}.*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    if force:
        shutil.rmtree(home / CACHE_FOLDER, ignore_errors=True)


def _arrange(model: StoredModel, recipe: Recipe) -> StoredModel:
    """Record each bundle's place in the current recipe, and read the bundles in that order."""
    places = {name: place for place, name in enumerate(recipe.variants)}
    moved = [bundle for name, bundle in model.bundles.items() if bundle.position != places.get(name)]
    for bundle in moved:
        write_manifest(
            model.folder / bundle.variant,
            bundle.model_copy(update={"position": places.get(bundle.variant)}),
        )
    return read_model(model.folder) if moved else model


def _is_unchanged(folder: Path, provenance: Provenance) -> bool:
    try:
        bundle = read_bundle(folder)
        for file in bundle.files:
            verify_file(folder, bundle, file.path)
    except InvalidBundle:
        return False
    return bundle.provenance.fingerprint == provenance.fingerprint and bundle.rejected != OUTDATED


def _find_stale(
    model: StoredModel, provenance: Mapping[str, Provenance], exported: Collection[str]
) -> tuple[str, ...]:
    """Find bundles that were not exported now and come from another recipe, model, data or code."""
    return tuple(
        name
        for name, bundle in model.bundles.items()
        if name not in exported and (bundle.rejected == OUTDATED or _differs(bundle, provenance.get(name)))
    )


def _differs(bundle: Bundle, provenance: Provenance | None) -> bool:
    if added(bundle):
        return False
    return provenance is None or bundle.provenance.fingerprint != provenance.fingerprint
