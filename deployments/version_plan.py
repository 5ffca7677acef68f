"""Decide which versions of a model to start, and combine them with those that stay. Pure."""

from collections.abc import Mapping

from serve.base.routing import Routes
from serve.bundles.repository import StoredModel
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant


def plan_versions(
    stored: StoredModel, requested: list[str], current: LoadedModel | None, *, whole: bool
) -> tuple[list[str], LoadedModel | None]:
    """Which variants to start for this request, and the loaded model that they join; None if it starts anew.
    `whole`: without all other variants. Raises RejectedBundle if the baseline was rejected."""
    if whole or current is None:
        stored.require_servable(stored.baseline)
    if current is not None and current.signature == stored.signature:
        return requested, current
    # A model that starts anew, or whose signature has changed, starts with all its variants.
    return (requested if whole or requested == [stored.baseline] else list(stored.servable)), None


def line_up(
    stored: StoredModel,
    variants: Mapping[str, LoadedVariant],
    routed: Routes | None,
) -> LoadedModel | None:
    """The model with these versions, and all traffic at its baseline; None if no possible baseline is loaded.
    `routed` has the last routes of its traffic."""
    # If the repository's baseline is missing, an accepted one takes its place.
    known = [stored.baseline] if routed is None else [stored.baseline, routed.baseline]
    baseline = next((name for name in known if name in variants), None)
    if baseline is None:
        return None
    return LoadedModel(
        name=stored.name,
        signature=stored.signature,
        task=stored.bundles[stored.baseline].figures.quality.task,
        routes=Routes(model=stored.name, baseline=baseline, weights={baseline: 1}),
        variants=variants,
        rejected=stored.rejected,
    )


def find_absent(model: LoadedModel, reasons: Mapping[str, str]) -> dict[str, str]:
    """The variants of a model that are not loaded -> the reason; `reasons` are by `model/variant`."""
    named = {
        name: reasons[f"{of}/{name}"]
        for of, name in (path.split("/") for path in reasons)
        if of == model.name
    }
    return {name: reason for name, reason in named.items() if name not in model.variants}


def recall_absent(catalog: Catalog) -> dict[str, str]:
    """The reasons in a catalog for variants that are not loaded, by `model/variant`."""
    return {
        f"{model.name}/{name}": why for model in catalog.models.values() for name, why in model.absent.items()
    }
