"""ServedModel: one model being served: its variants, its routes and its tallies."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from serve.base.errors import (
    Overloaded,
    UnknownModel,
)
from serve.base.record import nearest
from serve.base.routing import Routes, bucket_of, choose, point_of
from serve.base.settings import Settings
from serve.base.tensor import Signature
from serve.bundles.figures import Task
from serve.bundles.unserved import Unserved
from serve.counting.breaker import Trip
from serve.counting.census import Census, Sheet, Watch
from serve.counting.past import Past, Recalled
from serve.counting.tally import Tally, ran_of
from serve.engine.admission import Admission, Asked, Parameters, Ticket
from serve.engine.answering import respond
from serve.engine.request import InferRequest
from serve.engine.shadow import Shadows
from serve.engine.sound import Encode
from serve.engine.text_input import TEXT, TextInput
from serve.engine.variant import ServedVariant

_log = logging.getLogger("counterweight.model")
T = TypeVar("T")


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
        # Dimension that may vary -> a size that it takes.
        self.sizes: Mapping[str, int] = {}
        # The same -> the most that it takes, where it has a limit.
        self.longest: Mapping[str, int] = {}
        # What a request may consist of; the first is what the metadata tells.
        self.forms = (signature,) if text is None else (text.form, signature)
        self.served: Mapping[str, ServedVariant] = {}
        # Variants in the repository that are not, and why.
        self.unserved = Unserved()
        # A variant's counts outlive its versions.
        self.tallies: dict[str, Tally] = {}
        # The variants that get copies.
        self.shadows = Shadows(task, settings)
        # None: no rollout of the model runs.
        self.census: Census | None = None
        # What counts for one; that of a gateway with a journal outlives it.
        self.begin_census: Callable[[Watch], Census] = Census
        # What keys did at the baseline while there was none.
        self.past = Past()
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
        if self.census is not None and watch is not None and self.census.watch.rollout == watch.rollout:
            self.census.watch = watch
        else:
            self._end_census()
            self.census = None if watch is None else self._begin_census(watch)
        if routes.baseline != self.routes.baseline:
            self.past = Past()
        self.routes = routes if self.census is None else self.census.protected(routes)
        self.shadows.cast(routes.shadows, self.served, self.census)

    def protect(self) -> Trip | None:
        """As soon as all of the candidate's requests fail, give them to the baseline, if that is there, for
        as long as the same rollout watches. Returned is what is to be told of it; None: nothing."""
        census = self.census
        if census is None:
            return None
        if census.breaker.due and (served := self.served.get(census.watch.baseline)) and served.up:
            census.breaker.open(census.watch.rollout)
            _log.warning("%s/%s: %s", self.name, census.watch.candidate, census.breaker.trip)
            self.route(self.routes, census.watch)
        return census.breaker.trip

    def stop(self, trip: Trip) -> None:
        """Somebody has aborted the rollout: give all requests to the baseline, as an open breaker does."""
        census = self.census
        if census is not None and census.watch.rollout == trip.rollout and census.breaker.trip is None:
            census.breaker.trip = trip
            self.route(self.routes, census.watch)

    def close(self) -> None:
        """Drop the copies that wait; variants are retired by themselves."""
        self.shadows.cast({}, {}, None)
        self._end_census()

    def sheet(self) -> Sheet | None:
        """What the rollout that watches is to be told of this gateway; None: nothing."""
        if self.census is None:
            return None
        return self.census.sheet(self.routes.revision, *ran_of(self.tallies))

    def require(self, variant: str) -> ServedVariant:
        """The variant of that name, if it is served. Raises UnknownVariant or VariantUnavailable."""
        self.unserved.require(self.name, variant, self.served)
        return self.served[variant]

    def find(self, variant: str, *, pinned: bool) -> ServedVariant:
        """The variant of that name, or the baseline for one that the routes chose and that is not served: it
        may not have been loaded here, or have been unloaded since. Raises UnknownVariant or
        VariantUnavailable."""
        return self.require(variant if pinned or variant in self.served else self.routes.baseline)

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

        Raises UnknownVariant, VariantUnavailable, or Overloaded before anything was done for the request."""
        census = None if pinned is not None or self.protect() is not None else self.census
        routes = self.routes
        point = point_of(self.name, key)
        chosen = choose(routes, point) if pinned is None else pinned
        choice = (routes.revision, key is not None, chosen)
        bucket = None if key is None else bucket_of(point)
        try:
            variant = self._open(self.find(chosen, pinned=pinned is not None), pinned is not None)
        except Overloaded:
            if census is not None:
                census.count(choice, failed=True, ms=0.0, request_id="", bucket=bucket)
            raise
        allowed_s = self._settings.request_timeout_s
        if timeout_s is not None:
            allowed_s = min(allowed_s, timeout_s)
        deadline = asyncio.get_running_loop().time() + allowed_s
        return Ticket(variant.name, pinned is not None, deadline, request_id, slice_, choice, bucket, census)

    async def ready(self, variant: str | None = None) -> bool:
        """Whether the variant, or else every variant, would answer now. Raises UnknownVariant."""
        asked = self.served.values() if variant is None else [self.require(variant)]
        return all(await asyncio.gather(*(served.ready() for served in asked)))

    async def answer(self, request: InferRequest, ticket: Ticket, encode: Encode[T]) -> T:
        """The variant's answer, encoded. When it fails, or cannot be encoded, or has NaN or infinity in it, a
        request that is not pinned is answered by the baseline; one that must have this variant waits for a
        lost host to come back and is tried once more.

        Raises InvalidRequest, DeadlineExceeded, Overloaded, ModelFailed or VariantUnavailable."""
        start, now = time.perf_counter(), asyncio.get_running_loop().time()
        deadline, arrays, parameters = ticket.deadline, request.arrays, Parameters()
        if request.timeout_s is not None:
            deadline = min(deadline, now + request.timeout_s)
        if self.text is not None and self.text.takes(arrays):
            encoded = await self.text.encode_async(arrays[TEXT])
            arrays = encoded.arrays
            parameters |= encoded.parameters
        asked = Asked(arrays, request.outputs, deadline, ticket)
        if ticket.census is None:
            with Recalled(self.past, self._bucket_at_baseline(ticket)):
                return (await respond(self, asked, parameters, encode))[1]
        with Admission(ticket.census, ticket, start) as admission:
            admission.answer, content = await respond(self, asked, parameters, encode)
        return content

    def _bucket_at_baseline(self, ticket: Ticket) -> int | None:
        """The bucket of a key that the routes sent to the baseline; None: it is another request."""
        at_baseline = not ticket.pinned and ticket.choice[2] == self.routes.baseline
        return ticket.bucket if at_baseline else None

    def _begin_census(self, watch: Watch) -> Census:
        census = self.begin_census(watch)
        if watch.baseline == self.routes.baseline:
            census.recall(self.past.counts())
        return census

    def _end_census(self) -> None:
        if self.census is not None:
            self.census.close()

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


# Live: models come and go.
Models = Mapping[str, ServedModel]


def find_model(models: Models, name: str) -> ServedModel:
    """The model of that name. Raises UnknownModel."""
    if name not in models:
        raise UnknownModel(f"no model {name!r} is served here; {nearest(name, models)}")
    return models[name]
