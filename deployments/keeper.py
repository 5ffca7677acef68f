"""Keeper: one replica that knows what is loaded. It tells the gateways; they tell it what they counted."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.doors import close_doors
from deployments.hosts import Hosts
from deployments.plan import Plan
from serve.bundle import Bundle
from serve.catalog import Catalog, IndexEntry, LoadedModel, LoadedVariant
from serve.errors import CounterweightError, InvalidBundle, UnknownModel, UnknownVariant
from serve.record import nearest
from serve.repository import StoredModel, list_models, read_model
from serve.rollout.tally import Loads, add_loads
from serve.routing import Routes

# A gateway that has not been heard of for so long is gone.
_GONE_AFTER_S = 5.0
_REMEMBERED = 16
_SETTLE_TIMEOUT_S = 60.0
_SETTLE_EVERY_S = 0.05
_UNLOADED = "it was unloaded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a gateway says, about twice a second."""

    gateway: str
    # The catalog that it serves, and which variants of it (`model/variant`) it could not have, and why.
    revision: int
    failures: dict[str, str]
    loads: Loads


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What it hears in return."""

    # The newest one, unless it has it; None, too, while nothing is loaded yet.
    catalog: Catalog | None
    # What all other gateways, those that are gone among them, have counted.
    others: Loads


class Keeper:
    """Loads, unloads and publishes. One change at a time; a change is done when every gateway serves it."""

    async def __init__(self, plan: Plan, scratch: str) -> None:  # type: ignore[misc]
        close_doors()
        self._plan = plan
        self._hosts = Hosts(plan, Path(scratch))
        self._saved = Path(scratch) / "catalog.json"
        self._catalog = Catalog()
        # `model/variant` -> why it is not served.
        self._reasons: dict[str, str] = {}
        self._loading: set[str] = set()
        self._heard: dict[str, tuple[float, Report]] = {}
        # What gateways had counted that are gone, the last few by name: one may only have been silent.
        self._gone: dict[str, Loads] = {}
        self._long_gone: Loads = {}
        self._change = asyncio.Lock()
        if self._saved.exists():
            self._catalog = Catalog.model_validate_json(self._saved.read_bytes())
        else:
            await self._load_plan()

    async def sync(self, report: Report) -> Reply:
        """Take a gateway's report."""
        now = time.monotonic()
        self._heard[report.gateway] = (now, report)
        self._gone.pop(report.gateway, None)
        for name in [name for name, (at, _) in self._heard.items() if now - at > _GONE_AFTER_S]:
            self._give_up(name)
        others = [heard.loads for name, (_, heard) in self._heard.items() if name != report.gateway]
        newer = report.revision != self._catalog.revision
        return Reply(
            catalog=self._catalog if newer else None,
            others=add_loads([self._long_gone, *self._gone.values(), *others]),
        )

    def _give_up(self, gateway: str) -> None:
        _, last = self._heard.pop(gateway)
        self._gone[gateway] = _without_work(last.loads)
        if len(self._gone) > _REMEMBERED:
            oldest = next(iter(self._gone))
            self._long_gone = add_loads([self._long_gone, self._gone.pop(oldest)])

    async def index(self) -> list[IndexEntry]:
        """Every variant of every model in the repository, by name."""
        entries = []
        for name in sorted(
            {*await asyncio.to_thread(list_models, self._plan.repository), *self._catalog.models}
        ):
            model = self._catalog.models.get(name)
            loaded = {} if model is None else dict(model.variants)
            try:
                bundles = (await asyncio.to_thread(read_model, self._plan.repository / name)).bundles
            except CounterweightError as error:
                bundles = {}
                if not loaded:
                    entries.append(IndexEntry(name=name, version="", state="UNAVAILABLE", reason=str(error)))
            entries += [self._entry(name, v, loaded, bundles) for v in sorted({*loaded, *bundles})]
        return entries

    def _entry(
        self, model: str, variant: str, loaded: Mapping[str, LoadedVariant], bundles: Mapping[str, Bundle]
    ) -> IndexEntry:
        path = f"{model}/{variant}"
        if path in self._loading:
            return IndexEntry(name=model, version=variant, state="LOADING", reason="")
        # One that is served can still say why its newer version is not.
        reason = self._reasons.get(path, "")
        if variant in loaded:
            return IndexEntry(name=model, version=variant, state="READY", reason=reason)
        rejected = bundles[variant].rejected
        reason = f"it was rejected: {rejected}" if rejected else reason or "it was never loaded"
        return IndexEntry(name=model, version=variant, state="UNAVAILABLE", reason=reason)

    async def load(self, model: str, variant: str | None) -> None:
        """See `serve.catalog.Repository`."""
        async with self._change:
            self._require_name(model)
            stored = await asyncio.to_thread(read_model, self._plan.repository / model)
            if variant is not None:
                stored.require_servable(variant)
            wanted = list(stored.servable) if variant is None else [variant]
            failures = await self._load(stored, wanted, whole=variant is None)
        if failures:
            raise InvalidBundle("; ".join(f"{path}: {reason}" for path, reason in failures.items()))

    async def unload(self, model: str, variant: str | None) -> None:
        """See `serve.catalog.Repository`."""
        async with self._change:
            current = self._require_loaded(model)
            if variant is None:
                gone = list(current.variants)
                await self._publish(self._catalog.drop(model))
            else:
                if variant not in current.variants:
                    hint = nearest(variant, current.variants)
                    raise UnknownVariant(f"model {model!r} serves no variant {variant!r}; {hint}")
                gone = [variant]
                await self._publish(self._catalog.put(current.without(variant)))
            self._reasons |= {f"{model}/{name}": _UNLOADED for name in gone}
            await self._hosts.remove([current.variants[name] for name in gone])

    async def _load_plan(self) -> None:
        models = await asyncio.to_thread(self._plan.read)
        await asyncio.gather(*(self._load(stored, list(stored.servable), whole=True) for stored in models))
        if not self._catalog.revision:
            # Nothing could be loaded, and the gateways are waiting to hear it.
            await self._publish(Catalog(revision=1))

    async def _load(self, stored: StoredModel, wanted: list[str], *, whole: bool) -> dict[str, str]:
        """Load these variants; `whole`: and let go of all others. Returned is why some could not be."""
        current = self._catalog.models.get(stored.name)
        if whole or current is None:
            stored.require_servable(stored.baseline)
        if current is None or current.signature != stored.signature:
            if not whole and wanted != [stored.baseline]:
                wanted = list(stored.servable)
            current = None
        paths = {f"{stored.name}/{name}" for name in wanted}
        self._loading |= paths
        try:
            loaded, failures = await self._hosts.bring_up(stored, wanted, current)
        finally:
            self._loading -= paths
        self._reasons = {
            path: reason for path, reason in self._reasons.items() if path not in paths
        } | failures
        kept = {} if current is None else dict(current.variants)
        if whole:
            kept = {name: version for name, version in kept.items() if name in wanted}
        variants = kept | loaded
        if stored.baseline not in variants:
            await self._hosts.remove(loaded.values())
            return failures
        before = self._catalog.models.get(stored.name)
        model = LoadedModel(
            name=stored.name,
            signature=stored.signature,
            task=stored.bundles[stored.baseline].figures.quality.task,
            routes=self._routes(stored, before, variants),
            variants=variants,
        )
        failures |= await self._publish(self._catalog.put(model))
        if before is not None:
            await self._hosts.remove(
                [old for old in before.variants.values() if old not in variants.values()]
            )
        return failures

    def _routes(
        self, stored: StoredModel, before: LoadedModel | None, variants: dict[str, LoadedVariant]
    ) -> Routes:
        if before is None:
            return self._plan.routes_of(stored)
        routes = before.routes
        if lost := set(routes.weights) - set(variants):
            weights = {name: weight for name, weight in routes.weights.items() if name not in lost}
            if not any(weights.values()):
                weights = {stored.baseline: 100.0}
            routes = Routes(
                model=stored.name, baseline=stored.baseline, weights=weights, revision=routes.revision + 1
            )
        return routes

    async def _publish(self, catalog: Catalog) -> dict[str, str]:
        """Make this the newest catalog; return once all gateways serve it, with what they could not have."""
        self._catalog = catalog
        temporary = self._saved.with_suffix(".new")
        temporary.write_text(catalog.model_dump_json())
        temporary.replace(self._saved)
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while behind := [
            name for name, (_, heard) in self._heard.items() if heard.revision < catalog.revision
        ]:
            now = time.monotonic()
            if now > until:
                raise CounterweightError(f"{len(behind)} gateways did not take the change within a minute")
            for name in behind:
                if now - self._heard[name][0] > _GONE_AFTER_S:
                    self._give_up(name)
            await asyncio.sleep(_SETTLE_EVERY_S)
        failures: dict[str, str] = {}
        for _, heard in self._heard.values():
            failures |= heard.failures
        return failures

    def _require_name(self, model: str) -> None:
        known = list_models(self._plan.repository)
        if model not in known:
            raise UnknownModel(f"no model {model!r} in the repository; {nearest(model, known)}")

    def _require_loaded(self, model: str) -> LoadedModel:
        if model not in self._catalog.models:
            raise UnknownModel(f"no model {model!r} is served here; {nearest(model, self._catalog.models)}")
        return self._catalog.models[model]


def _without_work(loads: Loads) -> Loads:
    """The counts of a gateway that is gone; what it had in hand is gone with it."""
    return {key: type(load)(tally=load.tally, in_flight=0, waiting_rows=0) for key, load in loads.items()}
