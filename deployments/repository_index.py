"""List the models and variants of the repository, on disk and served."""

from collections.abc import Collection, Mapping
from pathlib import Path

from serve.base.errors import CounterweightError, UnknownModel
from serve.base.record import nearest
from serve.bundles.bundle import Bundle
from serve.bundles.repository import StoredModel, list_models, read_model
from serve.control.api import Bundles, BundleView
from serve.engine.catalog import Catalog, IndexEntry, LoadedModel, LoadedVariant


def list_variants(
    repository: Path, catalog: Catalog, loading: Collection[str], reasons: Mapping[str, str]
) -> list[IndexEntry]:
    """The variants on disk and in service, by name. `loading` has `model/variant`; `reasons` has
    `model/variant` -> why it, or its newer version, is not served."""
    entries = []
    for name in sorted({*list_models(repository), *catalog.models}):
        model = catalog.models.get(name)
        loaded = {} if model is None else dict(model.variants)
        try:
            bundles = read_model(repository / name).bundles
        except CounterweightError as error:
            bundles = {}
            if not loaded:
                entries.append(IndexEntry(name=name, version="", state="UNAVAILABLE", reason=str(error)))
        for variant in sorted({*loaded, *bundles}):
            path = f"{name}/{variant}"
            if path in loading:
                entries.append(IndexEntry(name=name, version=variant, state="LOADING", reason=""))
            else:
                entries.append(_entry(name, variant, loaded, bundles, reasons.get(path, "")))
    return entries


def describe_unserved(stored: StoredModel) -> list[str]:
    """A line for each variant on disk that was rejected, with the reason."""
    return [f"not served: {name}: it was rejected: {reason}" for name, reason in stored.rejected.items()]


def read_stored(repository: Path, model: str) -> StoredModel:
    """The model on disk. Raises UnknownModel and InvalidBundle."""
    # Check the name first, because a client may send anything.
    known = list_models(repository)
    if model not in known:
        raise UnknownModel(f"no model {model!r} in the repository; {nearest(model, known)}")
    return read_model(repository / model)


def describe_bundles(stored: StoredModel, catalog: Catalog) -> Bundles:
    """The measurements of each variant, and the version that is served."""
    model = catalog.models.get(stored.name)
    loaded = {} if model is None else {name: version.digest for name, version in model.variants.items()}
    bundles = {
        name: BundleView(
            digest=bundle.digest,
            loaded=loaded.get(name),
            rejected=bundle.rejected,
            figures=bundle.figures,
            unproven=not bundle.proven,
        )
        for name, bundle in stored.bundles.items()
    }
    # An accepted baseline replaces the repository's.
    baseline = (
        model.routes.baseline if model is not None and model.routes.baseline in bundles else stored.baseline
    )
    return Bundles(baseline=baseline, bundles=bundles)


def find_loaded(catalog: Catalog, model: str, variant: str | None) -> LoadedModel:
    """The loaded model, which has that variant. Raises UnknownModel and UnknownVariant."""
    if model not in catalog.models:
        raise UnknownModel(f"no model {model!r} is served here; {nearest(model, catalog.models)}")
    loaded = catalog.models[model]
    if variant is not None:
        loaded.unserved.require(model, variant, loaded.variants)
    return loaded


def _entry(
    model: str,
    variant: str,
    loaded: Mapping[str, LoadedVariant],
    bundles: Mapping[str, Bundle],
    reason: str,
) -> IndexEntry:
    if variant in loaded:
        if not reason and loaded[variant].unproven:
            reason = "it is unproven: it has not been measured on real held-out rows"
        # A served variant can still have a reason why its newer version is not served.
        return IndexEntry(name=model, version=variant, state="READY", reason=reason)
    rejected = bundles[variant].rejected
    reason = f"it was rejected: {rejected}" if rejected else reason or "it was never loaded"
    return IndexEntry(name=model, version=variant, state="UNAVAILABLE", reason=reason)
