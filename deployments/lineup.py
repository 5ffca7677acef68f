"""Lineup: which versions of a model are brought up, and what they make with those that stay. Pure."""

from collections.abc import Mapping

from serve.base.routing import Routes
from serve.bundles.repository import StoredModel
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant


def plan_lineup(
    stored: StoredModel, wanted: list[str], current: LoadedModel | None, *, whole: bool
) -> tuple[list[str], LoadedModel | None]:
    """Which variants to bring up when these are asked for, `whole`: and no others; and the model that they
    join, or None: it begins anew. Raises RejectedBundle where its baseline was rejected."""
    if whole or current is None:
        stored.require_servable(stored.baseline)
    if current is not None and current.signature == stored.signature:
        return wanted, current
    # One that begins anew, or that takes other inputs than before, does so with all that it has.
    return (wanted if whole or wanted == [stored.baseline] else list(stored.servable)), None


def line_up(
    stored: StoredModel,
    variants: Mapping[str, LoadedVariant],
    routed: Routes | None,
) -> LoadedModel | None:
    """The model of these versions, all traffic at its baseline; None: what could be its baseline is not
    among them. `routed` is what was last decided on its traffic."""
    # One that was accepted stands in where the repository's own is not there.
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
    """The variants of a model that are not loaded, by their names, and why; `reasons` by `model/variant`."""
    named = {
        name: reasons[f"{of}/{name}"]
        for of, name in (path.split("/") for path in reasons)
        if of == model.name
    }
    return {name: reason for name, reason in named.items() if name not in model.variants}


def recall_absent(catalog: Catalog) -> dict[str, str]:
    """By `model/variant`, what a catalog says of those that are not loaded."""
    return {
        f"{model.name}/{name}": why for model in catalog.models.values() for name, why in model.absent.items()
    }
