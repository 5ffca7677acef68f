"""ServedModel: one model being served: its variants, its routes and its tallies."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from serve.batching import Ran
from serve.errors import ModelFailed, Overloaded, UnknownModel, UnknownVariant, VariantUnavailable
from serve.oip.request import InferRequest
from serve.record import nearest
from serve.rollout.tally import Tally
from serve.routing import Routes, choose, point_of
from serve.settings import Settings
from serve.tensor import Signature
from serve.text import TEXT, TextInput
from serve.variant import ServedVariant

Parameters = dict[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a model answered, and which variant did."""

    variant: str
    ran: Ran
    # What the client should know besides, such as who was asked first.
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to be answered: by which variant, and until when on the event loop's clock."""

    variant: str
    # Whether it must be this variant.
    pinned: bool
    deadline: float


class ServedModel:
    """One model behind the endpoint. Variants share a signature; routes say who answers."""

    def __init__(
        self,
        signature: Signature,
        routes: Routes,
        settings: Settings,
        text: TextInput | None = None,
        labels: tuple[str, ...] = (),
    ) -> None:
        """Without variants yet: they come and go by `serve`."""
        self.name = routes.model
        self.signature = signature
        self.routes = routes
        self.text = text
        self.labels = labels
        # What a request may consist of; the first is what the metadata tells.
        self.forms = (signature,) if text is None else (text.form, signature)
        self.served: Mapping[str, ServedVariant] = {}
        # A variant's counts outlive its versions.
        self.tallies: dict[str, Tally] = {}
        self._settings = settings

    @property
    def variants(self) -> list[str]:
        """The names of the variants, the baseline first."""
        return sorted(self.served, key=lambda name: (name != self.routes.baseline, name))

    def serve(self, served: Mapping[str, ServedVariant], routes: Routes) -> list[ServedVariant]:
        """From now on these variants and routes; returned are the variants that are to be retired."""
        gone = [old for name, old in self.served.items() if served.get(name) is not old]
        self.served = dict(served)
        self.routes = routes
        self.tallies |= {name: variant.queue.tally for name, variant in served.items()}
        return gone

    def require(self, variant: str) -> ServedVariant:
        """The variant of that name, if it is served. Raises UnknownVariant."""
        if variant not in self.served:
            raise UnknownVariant(
                f"model {self.name!r} serves no variant {variant!r}; {nearest(variant, self.served)}"
            )
        return self.served[variant]

    def admit(self, *, pinned: str | None, key: str | None, timeout_s: float | None) -> Ticket:
        """Who is to answer a request: the pinned variant, or the routes' choice for this sticky key.

        Raises UnknownVariant, or Overloaded before anything was done for the request."""
        chosen = choose(self.routes, point_of(self.name, key)) if pinned is None else pinned
        variant = self._find(chosen, pinned=pinned is not None)
        try:
            variant.refuse_if_full()
        except Overloaded:
            variant.queue.tally.sheds += 1
            raise
        allowed_s = self._settings.request_timeout_s
        if timeout_s is not None:
            allowed_s = min(allowed_s, timeout_s)
        return Ticket(variant.name, pinned is not None, asyncio.get_running_loop().time() + allowed_s)

    async def ready(self, variant: str | None = None) -> bool:
        """Whether the variant, or else every variant, would answer now. Raises UnknownVariant."""
        asked = self.served.values() if variant is None else [self.require(variant)]
        return all(await asyncio.gather(*(served.ready() for served in asked)))

    async def answer(self, request: InferRequest, ticket: Ticket) -> Answer:
        """The variant's answer. When it fails, a request that is not pinned is answered by the baseline; one
        that must have this variant waits for a lost host to come back and is tried once more.

        Raises InvalidRequest, DeadlineExceeded, Overloaded, ModelFailed or VariantUnavailable."""
        deadline = ticket.deadline
        if request.timeout_s is not None:
            deadline = min(deadline, asyncio.get_running_loop().time() + request.timeout_s)
        arrays, parameters = request.arrays, Parameters()
        if self.text is not None and self.text.takes(arrays):
            encoded = await self.text.encode_async(arrays[TEXT])
            arrays = encoded.arrays
            parameters |= encoded.parameters
        first = self._find(ticket.variant, pinned=ticket.pinned)
        try:
            with _counted(first.queue.tally):
                ran = await first.infer(arrays, deadline)
            return Answer(variant=first.name, ran=ran, parameters=parameters)
        except (VariantUnavailable, ModelFailed) as error:
            if not ticket.pinned and first.name != self.routes.baseline:
                second = self.require(self.routes.baseline)
                parameters["rescued_from"] = first.name
            elif isinstance(error, VariantUnavailable) and await first.recovered(deadline):
                # By its name: a version that is gone may have a successor.
                second = self.require(first.name)
                parameters["retried"] = True
            else:
                raise
        with _counted(second.queue.tally):
            ran = await second.infer(arrays, deadline)
        first.queue.tally.rescues += 1
        return Answer(variant=second.name, ran=ran, parameters=parameters)

    def _find(self, variant: str, *, pinned: bool) -> ServedVariant:
        # One that the routes chose may not have been loaded here, or have been unloaded since.
        return self.require(variant if pinned or variant in self.served else self.routes.baseline)


# Live: models come and go.
Models = Mapping[str, ServedModel]


def find_model(models: Models, name: str) -> ServedModel:
    """The model of that name. Raises UnknownModel."""
    if name not in models:
        raise UnknownModel(f"no model {name!r} is served here; {nearest(name, models)}")
    return models[name]


@contextmanager
def _counted(tally: Tally) -> Iterator[None]:
    """Count what happens inside as one request."""
    start = time.perf_counter()
    try:
        yield
    except Overloaded:
        tally.sheds += 1
        raise
    except Exception as error:
        tally.failures[type(error).__name__] += 1
        _count(tally, start)
        raise
    # A client that went away is nobody's error: a cancelled request passes here uncounted.
    _count(tally, start)


def _count(tally: Tally, start: float) -> None:
    tally.requests += 1
    tally.latency.record((time.perf_counter() - start) * 1e3)
    tally.last_s = time.time()
