"""ServedModel: one model being served: its variants, its routes and its tallies."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from serve.batching import Ran
from serve.errors import (
    InvalidRequest,
    ModelFailed,
    Overloaded,
    UnknownModel,
    VariantUnavailable,
)
from serve.figures import Task
from serve.oip.request import InferRequest
from serve.record import nearest
from serve.rollout.census import Census, Choice, Sheet, Watch
from serve.rollout.tally import Tally, counted
from serve.routing import Routes, choose, point_of
from serve.settings import Settings
from serve.shadow import Shadows
from serve.shadow_copy import Copy
from serve.tensor import Arrays, Signature
from serve.text import TEXT, TextInput
from serve.unserved import require_served
from serve.variant import ServedVariant

_LONGEST_SLICE = 64
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
    request_id: str
    # The part of all inputs that the client says it belongs to.
    slice: str | None
    # How the routes chose; who answers may be another, where that one is not served.
    choice: Choice
    # Where the request counts; None: no rollout looks at it.
    census: Census | None


class ServedModel:
    """One model behind the endpoint. Variants share a signature; routes say who answers."""

    def __init__(
        self,
        signature: Signature,
        routes: Routes,
        settings: Settings,
        text: TextInput | None = None,
        task: Task = "classification",
    ) -> None:
        """Without variants yet: they come and go by `serve`."""
        self.name = routes.model
        self.signature = signature
        self.routes = routes
        self.text = text
        self.labels: tuple[str, ...] = ()
        # What a request may consist of; the first is what the metadata tells.
        self.forms = (signature,) if text is None else (text.form, signature)
        self.served: Mapping[str, ServedVariant] = {}
        # Variants in the repository that may not be served, and why.
        self.rejected: Mapping[str, str] = {}
        # A variant's counts outlive its versions.
        self.tallies: dict[str, Tally] = {}
        # The variants that get copies.
        self.shadows = Shadows(task, settings)
        # None: no rollout of the model runs.
        self.census: Census | None = None
        self._settings = settings

    @property
    def variants(self) -> list[str]:
        """The names of the variants, the baseline first."""
        return sorted(self.served, key=lambda name: (name != self.routes.baseline, name))

    def serve(self, served: Mapping[str, ServedVariant], routes: Routes) -> list[ServedVariant]:
        """From now on these variants and routes; returned are the variants that are to be retired."""
        gone = [old for name, old in self.served.items() if served.get(name) is not old]
        self.served = dict(served)
        self.tallies |= {name: variant.queue.tally for name, variant in served.items()}
        self.route(routes, None if self.census is None else self.census.watch)
        return gone

    def route(self, routes: Routes, watch: Watch | None) -> None:
        """From now on these routes, counted for the rollout that watches."""
        self.routes = routes
        if self.census is not None and watch is not None and self.census.watch.rollout == watch.rollout:
            self.census.watch = watch
        else:
            self.census = None if watch is None else Census(watch)
        self.shadows.cast(routes.shadows, self.served, self.census)

    def close(self) -> None:
        """Drop the copies that wait; variants are retired by themselves."""
        self.shadows.cast({}, {}, None)

    def sheet(self) -> Sheet | None:
        """What the rollout that watches is to be told of this gateway; None: nothing."""
        if self.census is None:
            return None
        ran = {name: (tally.rows, tally.cpu_ms) for name, tally in self.tallies.items()}
        return self.census.sheet(self.routes.revision, ran)

    def require(self, variant: str) -> ServedVariant:
        """The variant of that name, if it is served. Raises UnknownVariant."""
        require_served(self.name, variant, self.served, self.rejected)
        return self.served[variant]

    def admit(
        self,
        *,
        pinned: str | None,
        key: str | None,
        timeout_s: float | None,
        request_id: str = "",
        slice_: str | None = None,
    ) -> Ticket:
        """Who is to answer a request: the pinned variant, or the routes' choice for this sticky key, or the
        baseline where the queue of that one is full.

        Raises UnknownVariant, or Overloaded before anything was done for the request."""
        routes = self.routes
        chosen = choose(routes, point_of(self.name, key)) if pinned is None else pinned
        choice = (routes.revision, key is not None, chosen)
        census = self.census if pinned is None else None
        try:
            variant = self._open(self._find(chosen, pinned=pinned is not None), pinned is not None)
        except Overloaded:
            if census is not None:
                census.count(choice, failed=True, ms=0.0, request_id="")
            raise
        allowed_s = self._settings.request_timeout_s
        if timeout_s is not None:
            allowed_s = min(allowed_s, timeout_s)
        deadline = asyncio.get_running_loop().time() + allowed_s
        return Ticket(variant.name, pinned is not None, deadline, request_id, slice_, choice, census)

    async def ready(self, variant: str | None = None) -> bool:
        """Whether the variant, or else every variant, would answer now. Raises UnknownVariant."""
        asked = self.served.values() if variant is None else [self.require(variant)]
        return all(await asyncio.gather(*(served.ready() for served in asked)))

    async def answer(self, request: InferRequest, ticket: Ticket) -> Answer:
        """The variant's answer. When it fails, a request that is not pinned is answered by the baseline; one
        that must have this variant waits for a lost host to come back and is tried once more.

        Raises InvalidRequest, DeadlineExceeded, Overloaded, ModelFailed or VariantUnavailable."""
        census = ticket.census
        if census is None:
            return await self._answer(request, ticket)
        start = time.perf_counter()
        failed, request_id = True, ""
        try:
            answer = await self._answer(request, ticket)
            # A rescue is the failure of the variant that was chosen, and a second try is one as well.
            failed = answer.variant != ticket.choice[2] or "retried" in answer.parameters
            request_id = "" if failed else ticket.request_id
            return answer
        except (InvalidRequest, asyncio.CancelledError):
            # The client's doing.
            census = None
            raise
        finally:
            if census is not None:
                ms = (time.perf_counter() - start) * 1e3
                census.count(ticket.choice, failed=failed, ms=ms, request_id=request_id)

    async def _answer(self, request: InferRequest, ticket: Ticket) -> Answer:
        deadline = ticket.deadline
        if request.timeout_s is not None:
            deadline = min(deadline, asyncio.get_running_loop().time() + request.timeout_s)
        arrays, parameters = request.arrays, Parameters()
        if self.text is not None and self.text.takes(arrays):
            encoded = await self.text.encode_async(arrays[TEXT])
            arrays = encoded.arrays
            parameters |= encoded.parameters
        if ticket.variant != ticket.choice[2]:
            parameters["rescued_from"] = ticket.choice[2]
        first = self._find(ticket.variant, pinned=ticket.pinned)
        try:
            with counted(first.queue.tally):
                ran = await first.infer(arrays, deadline)
            if self.shadows and not ticket.pinned and ticket.choice[2] == first.name == self.routes.baseline:
                self._copy(arrays, ran, ticket)
            return Answer(variant=first.name, ran=ran, parameters=parameters)
        except (VariantUnavailable, ModelFailed, Overloaded) as error:
            if not ticket.pinned and first.name != self.routes.baseline:
                second = self.require(self.routes.baseline)
                parameters["rescued_from"] = first.name
            elif isinstance(error, VariantUnavailable) and await first.recovered(deadline):
                # By its name: a version that is gone may have a successor.
                second = self.require(first.name)
                parameters["retried"] = True
            else:
                raise
        with counted(second.queue.tally):
            ran = await second.infer(arrays, deadline)
        first.queue.tally.rescues += 1
        return Answer(variant=second.name, ran=ran, parameters=parameters)

    def _copy(self, arrays: Arrays, ran: Ran, ticket: Ticket) -> None:
        named = None if ticket.slice is None else ticket.slice[:_LONGEST_SLICE]
        copy = Copy(arrays, ran.outputs, ran.rows, ticket.request_id, named)
        self.shadows.offer(copy, sum(variant.queue.waiting_rows for variant in self.served.values()))

    def _open(self, variant: ServedVariant, pinned: bool) -> ServedVariant:
        """The variant, or the baseline where its queue is full. Raises Overloaded."""
        try:
            variant.refuse_if_full()
        except Overloaded:
            variant.queue.tally.sheds += 1
            if pinned or variant.name == self.routes.baseline:
                raise
            return self._open(self.require(self.routes.baseline), pinned)
        return variant

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
