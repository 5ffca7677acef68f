"""The models of one gateway, kept equal to the newest catalog."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from serve.base.errors import CounterweightError
from serve.base.settings import Settings
from serve.base.tensor import Signature
from serve.bundles.bundle import read_bundle
from serve.bundles.labels_file import read_labels
from serve.counting.breaker import Trip
from serve.counting.count_delta import CountDelta
from serve.counting.journal import Journal
from serve.counting.tally import Loads, Tally, VariantLoad, add_loads
from serve.engine.batch import Joining
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from serve.engine.keeper_silence import KeeperSilence
from serve.engine.model import ServedModel
from serve.engine.placement import Placement
from serve.engine.queue import Queue
from serve.engine.shapes import Shape
from serve.engine.text_input import TextInput, open_text
from serve.engine.variant import ServedVariant

# Creates the placement of one version of a variant, ready to run. Raises CounterweightError.
Place = Callable[[LoadedVariant], Awaitable[Placement]]


class Registry:
    """The models of one gateway. A variant is removed only after its successor is ready."""

    def __init__(self, place: Place, settings: Settings, journal: Journal | None = None) -> None:
        """`journal` keeps the counts of rollouts if this process is killed."""
        # A live view of the served models.
        self.models: dict[str, ServedModel] = {}
        # The revision of the catalog that is served; 0: none yet.
        self.revision = 0
        # The counts of the other gateways.
        self.others: Loads = {}
        # Whether a keeper judges the counts of this gateway.
        self.judging = KeeperSilence()
        self._place = place
        self._settings = settings
        self._journal = journal
        self._versions: dict[str, LoadedModel] = {}
        # The newest catalog that was received; loading it may take a while.
        self._newest = Catalog()

    def route(self, catalog: Catalog) -> None:
        """Apply the routes of a catalog at once. The baseline answers for variants that are not loaded here
        yet."""
        self._newest = catalog
        for name, model in self.models.items():
            newest = catalog.models.get(name)
            if newest is not None and newest.routes.baseline in model.served:
                model.route(newest.routes, newest.watch)

    async def apply(self, catalog: Catalog) -> dict[str, str]:
        """Load the variants of a catalog, and return when the variants that it lacks have finished their
        requests. Returns `model/variant` -> the reason why it could not be loaded; an older version then
        stays."""
        if catalog.revision > self._newest.revision:
            self.route(catalog)
        failures: dict[str, str] = {}
        retired: list[ServedVariant] = []
        for loaded in catalog.models.values():
            try:
                retired += await self._update(loaded, failures)
            except CounterweightError as error:
                failures[f"{loaded.name}/{loaded.routes.baseline}"] = str(error)
        for name in [name for name in self.models if name not in catalog.models]:
            self._versions.pop(name, None)
            self.models[name].close()
            retired += self.models.pop(name).served.values()
        self.revision = catalog.revision
        await asyncio.gather(*(variant.retire() for variant in retired))
        return failures

    def loads(self) -> Loads:
        """The present load and the tally of every variant in this gateway."""
        return {
            (model.name, name): VariantLoad(
                tally=variant.queue.tally,
                in_flight=variant.queue.in_flight,
                waiting_rows=variant.queue.waiting_rows,
            )
            for model in self.models.values()
            for name, variant in model.served.items()
        }

    def deltas(self) -> dict[str, CountDelta]:
        """The counts to report for the rollouts, by model."""
        deltas = {name: model.delta() for name, model in self.models.items()}
        return {name: delta for name, delta in deltas.items() if delta is not None}

    def shapes(self) -> dict[str, tuple[Shape, ...]]:
        """The shapes of recent runs of each model's baseline, by model."""
        return {
            name: baseline.queue.shapes.known
            for name, model in self.models.items()
            if (baseline := model.served.get(model.routes.baseline)) is not None
        }

    def trips(self) -> dict[str, Trip]:
        """The open breakers, by model."""
        trips = {name: model.protect() for name, model in self.models.items()}
        return {name: trip for name, trip in trips.items() if trip is not None}

    @property
    def rollouts(self) -> list[str]:
        """The rollouts that are running, as far as this gateway knows."""
        return [model.counter.watch.rollout for model in self.models.values() if model.counter is not None]

    def stop(self, trip: Trip) -> None:
        """Send all requests of an aborted rollout to its baseline."""
        for model in self.models.values():
            model.stop(trip)

    def acknowledge(self, written: Mapping[str, int]) -> None:
        """`written` has the number of the last stored delta by model."""
        for name, number in written.items():
            if name in self.models and (counter := self.models[name].counter) is not None:
                counter.acknowledge(number)

    def counted(self) -> Loads:
        """The loads of all gateways together."""
        return add_loads([self.loads(), self.others])

    async def _update(self, loaded: LoadedModel, failures: dict[str, str]) -> list[ServedVariant]:
        """Load one model. Returns the variants to retire. Raises CounterweightError if its baseline cannot be
        loaded."""
        before = self._versions.get(loaded.name)
        if before == loaded:
            return []
        old = self.models.get(loaded.name)
        if old is not None and before is not None and _runs_alike(before, loaded):
            # Only the routes have changed, so nothing has to be loaded.
            self._route(old, loaded)
            old.unserved = loaded.unserved
            self._versions[loaded.name] = loaded
            return []
        folder = Path(loaded.baseline.folder)
        text = await asyncio.to_thread(open_text, folder)
        labels = await asyncio.to_thread(read_labels, folder)
        bundle = await asyncio.to_thread(read_bundle, folder)
        if old is not None and _same_form(old, loaded.signature, text):
            model = old
        else:
            model = ServedModel(loaded.signature, loaded.routes, self._settings, text, loaded.task)
            if self._journal is not None:
                model.begin_census = partial(self._journal.counter, loaded.name)
            model.tallies = {} if old is None else old.tallies
        model.shadows.meanings = {item.name: item.meaning for item in bundle.figures.quality.outputs}
        model.shadows.classes = labels
        model.explains = bundle.figures.quality.explained is not None
        failed = len(failures)
        served = await self._variants(model, loaded, failures)
        if loaded.routes.baseline not in served:
            await asyncio.gather(*(variant.retire() for variant in served.values()))
            raise CounterweightError(failures[f"{loaded.name}/{loaded.routes.baseline}"])
        removed = model.serve(served, loaded.routes)
        self._route(model, loaded)
        model.labels, model.sizes, model.longest = labels, bundle.sizes, bundle.longest
        model.unserved = replace(loaded.unserved, missing=_missing(loaded, served, failures))
        if old is not None and old is not model:
            old.close()
            removed = list(old.served.values())
        self.models[loaded.name] = model
        if len(failures) == failed:
            self._versions[loaded.name] = loaded
        else:
            # Failed variants are tried again with the next catalog.
            self._versions.pop(loaded.name, None)
        return removed

    def _route(self, model: ServedModel, loaded: LoadedModel) -> None:
        """Apply the newest routes, which may be newer than `loaded`."""
        newest = self._newest.models.get(loaded.name, loaded)
        now = newest if newest.routes.baseline in model.served else loaded
        model.route(now.routes, now.watch)

    async def _variants(
        self, model: ServedModel, loaded: LoadedModel, failures: dict[str, str]
    ) -> Mapping[str, ServedVariant]:
        served: dict[str, ServedVariant] = {}
        for name, version in loaded.variants.items():
            old = model.served.get(name)
            if old is not None and old.version == version:
                served[name] = old
                continue
            try:
                placement = await self._place(version)
            except CounterweightError as error:
                failures[f"{loaded.name}/{name}"] = str(error)
                if old is not None:
                    served[name] = old
                continue
            pads = {} if model.text is None else model.text.pads
            joining = Joining(signature=loaded.signature, full_rows=version.full_rows, pads=pads)
            tally = model.tallies.get(name) or Tally()
            queue = Queue(placement, joining, self._settings, tally)
            served[name] = ServedVariant(name, version, placement, queue)
        return served


def _missing(loaded: LoadedModel, served: Collection[str], failures: Mapping[str, str]) -> dict[str, str]:
    """The reasons why loaded variants are not available here."""
    return {name: failures[f"{loaded.name}/{name}"] for name in loaded.variants if name not in served}


def _runs_alike(before: LoadedModel, after: LoadedModel) -> bool:
    """Whether the two have the same variants, and differ only in routes, rollout and reasons."""
    alike = {name: getattr(before, name) for name in ("routes", "watch", "rejected", "absent")}
    return before == after.model_copy(update=alike)


def _same_form(model: ServedModel, signature: Signature, text: TextInput | None) -> bool:
    """Whether requests for the model are also valid for its new version: same signature and tokenizer."""
    before, after = (None if each is None else each.digest for each in (model.text, text))
    return model.signature == signature and before == after
