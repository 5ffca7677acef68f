"""Registry: the models behind one gateway, kept as the newest catalog says."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from serve.batching import Queue
from serve.bundle import read_labels
from serve.catalog import Catalog, LoadedModel, LoadedVariant
from serve.errors import CounterweightError
from serve.joining import Joining
from serve.model import ServedModel
from serve.placement import Placement
from serve.rollout.tally import Load, Loads, Tally, add_loads
from serve.settings import Settings
from serve.tensor import Signature
from serve.text import TextInput, open_text
from serve.variant import ServedVariant

# Makes the place where one version of a variant runs, ready to run. Raises CounterweightError.
Place = Callable[[LoadedVariant], Awaitable[Placement]]


class Registry:
    """The models of one gateway. A change never takes a variant away before its successor is ready."""

    def __init__(self, place: Place, settings: Settings) -> None:
        # Live: what is looked up here is what is served now.
        self.models: dict[str, ServedModel] = {}
        # Of the catalog that is served; 0: none yet.
        self.revision = 0
        # What the other gateways have counted.
        self.others: Loads = {}
        self._place = place
        self._settings = settings
        self._versions: dict[str, LoadedModel] = {}

    async def apply(self, catalog: Catalog) -> dict[str, str]:
        """Serve what the catalog says, and return once what it no longer says has been answered to the end:
        by `model/variant`, why one of them could not be had here. An older version goes on in its place."""
        failures: dict[str, str] = {}
        retired: list[ServedVariant] = []
        for loaded in catalog.models.values():
            try:
                retired += await self._update(loaded, failures)
            except CounterweightError as error:
                failures[f"{loaded.name}/{loaded.routes.baseline}"] = str(error)
        for name in [name for name in self.models if name not in catalog.models]:
            self._versions.pop(name, None)
            retired += self.models.pop(name).served.values()
        self.revision = catalog.revision
        await asyncio.gather(*(variant.retire() for variant in retired))
        return failures

    def loads(self) -> Loads:
        """What every variant has to do now and has done, in this gateway."""
        return {
            (model.name, name): Load(
                tally=variant.queue.tally,
                in_flight=variant.queue.in_flight,
                waiting_rows=variant.queue.waiting_rows,
            )
            for model in self.models.values()
            for name, variant in model.served.items()
        }

    def counted(self) -> Loads:
        """The same, in all gateways."""
        return add_loads([self.loads(), self.others])

    async def _update(self, loaded: LoadedModel, failures: dict[str, str]) -> list[ServedVariant]:
        """Serve one model as it is loaded; the variants that are to be retired. Raises CounterweightError
        when it has no baseline here."""
        if self._versions.get(loaded.name) == loaded:
            return []
        old = self.models.get(loaded.name)
        folder = Path(loaded.baseline.folder)
        text = await asyncio.to_thread(open_text, folder)
        labels = await asyncio.to_thread(read_labels, folder)
        if old is not None and _same_form(old, loaded.signature, text):
            model = old
        else:
            model = ServedModel(loaded.signature, loaded.routes, self._settings, text)
            model.tallies = {} if old is None else old.tallies
        failed = len(failures)
        served = await self._variants(model, loaded, failures)
        if loaded.routes.baseline not in served:
            await asyncio.gather(*(variant.retire() for variant in served.values()))
            raise CounterweightError(failures[f"{loaded.name}/{loaded.routes.baseline}"])
        gone = model.serve(served, loaded.routes)
        model.labels = labels
        if old is not None and old is not model:
            gone = list(old.served.values())
        self.models[loaded.name] = model
        if len(failures) == failed:
            self._versions[loaded.name] = loaded
        else:
            # What failed is tried again with the next catalog.
            self._versions.pop(loaded.name, None)
        return gone

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


def _same_form(model: ServedModel, signature: Signature, text: TextInput | None) -> bool:
    """Whether requests to the model are still requests to what it is to become: signature and tokenizer."""
    before, after = (None if each is None else each.digest for each in (model.text, text))
    return model.signature == signature and before == after
