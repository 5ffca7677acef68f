"""One served model with its variants, routes and tallies."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from serve.base.errors import (
    Overloaded,
    UnknownModel,
)
from serve.base.record import nearest
from serve.base.routing import Routes, bucket_of, choose, point_of
from serve.base.settings import Settings
from serve.base.tensor import Signature
from serve.bundles.meaning import Task
from serve.bundles.unserved import Unserved
from serve.counting.breaker import Trip
from serve.counting.count_delta import CountDelta
from serve.counting.prior_counts import PriorCounts, Recalled
from serve.counting.rollout_counter import RolloutCounter, Watch
from serve.counting.tally import Tally, ran_of
from serve.engine.admission import Admission, AdmittedRequest, Parameters, Ticket
from serve.engine.answer_validity import Encode
from serve.engine.answering import respond
from serve.engine.request import InferRequest
from serve.engine.shadow import Shadows
from serve.engine.text_input import TEXT, TextInput
from serve.engine.top_class import top_class
from serve.engine.variant import ServedVariant

_log = logging.getLogger("counterweight.model")
T = TypeVar("T")


class ServedModel:
    """One model behind the endpoint. Its variants share a signature; the routes choose who answers."""

    def __init__(
        self,
        signature: Signature,
        routes: Routes,
        settings: Settings,
        text: TextInput | None = None,
        task: Task = "classification",
    ) -> None:
        """The model starts without variants; `serve` sets them."""
        self.name = routes.model
        self.task = task
        self.signature = signature
        self.routes = routes
        self.text = text
        self.labels: tuple[str, ...] = ()
        # Dimension that may vary -> a size that the graph accepts.
        self.sizes: Mapping[str, int] = {}
        # Dimension that may vary -> the largest size that the graph accepts, if there is a limit.
        self.longest: Mapping[str, int] = {}
        # The signatures that a request may have; the metadata shows the first.
        self.forms = (signature,) if text is None else (text.form, signature)
        self.served: Mapping[str, ServedVariant] = {}
        # Variants of the repository that are not served, with the reasons.
        self.unserved = Unserved()
        # The counts of a variant continue when a new version is loaded.
        self.tallies: dict[str, Tally] = {}
        # The variants that get copies of requests.
        self.shadows = Shadows(task, settings)
        # Whether their explanations are compared with the baseline's, as its export did.
        self.explains = False
        # None: the model has no rollout.
        self.counter: RolloutCounter | None = None
        # Creates the counter of a rollout; with a journal, its counts survive a crash of the gateway.
        self.begin_census: Callable[[Watch], RolloutCounter] = RolloutCounter
        # The outcomes of sticky keys at the baseline while no rollout was running.
        self.past = PriorCounts()
        self._settings = settings

    @property
    def variants(self) -> list[str]:
        """The names of the variants, the baseline first."""
        return sorted(self.served, key=lambda name: (name != self.routes.baseline, name))

    def serve(self, served: Mapping[str, ServedVariant], routes: Routes) -> list[ServedVariant]:
        """Replace the variants and routes. Returns the variants to retire."""
        replaced = [old for name, old in self.served.items() if served.get(name) is not old]
        self.served = dict(served)
        self.tallies |= {name: variant.queue.tally for name, variant in served.items()}
        self.route(routes, None if self.counter is None else self.counter.watch)
        return replaced

    def route(self, routes: Routes, watch: Watch | None) -> None:
        """Replace the routes, and count for the rollout of `watch`, if any."""
        if self.counter is not None and watch is not None and self.counter.watch.rollout == watch.rollout:
            self.counter.watch = watch
        else:
            self._end_census()
            self.counter = None if watch is None else self._begin_census(watch)
        if routes.baseline != self.routes.baseline:
            self.past = PriorCounts()
        self.routes = routes if self.counter is None else self.counter.protected(routes)
        self.shadows.explaining = self.served.get(routes.baseline) if self.explains else None
        self.shadows.assign(routes.shadows, self.served, self.counter)

    def protect(self) -> Trip | None:
        """Open the breaker if all of the candidate's requests fail and the baseline is running. The baseline
        then gets its requests until the rollout ends. Returns the trip to report; None if the breaker is
        closed."""
        counter = self.counter
        if counter is None:
            return None
        if counter.breaker.due and (served := self.served.get(counter.watch.baseline)) and served.up:
            counter.breaker.open(counter.watch.rollout)
            _log.warning("%s/%s: %s", self.name, counter.watch.candidate, counter.breaker.trip)
            self.route(self.routes, counter.watch)
        return counter.breaker.trip

    def stop(self, trip: Trip) -> None:
        """A person has aborted the rollout: send all requests to the baseline, like an open breaker."""
        counter = self.counter
        if counter is not None and counter.watch.rollout == trip.rollout and counter.breaker.trip is None:
            counter.breaker.trip = trip
            self.route(self.routes, counter.watch)

    def close(self) -> None:
        """Drop the waiting copies. The variants are retired separately."""
        self.shadows.assign({}, {}, None)
        self._end_census()

    def delta(self) -> CountDelta | None:
        """The counts to report to the rollout; None if there are none."""
        if self.counter is None:
            return None
        return self.counter.delta(self.routes.revision, *ran_of(self.tallies))

    def require(self, variant: str) -> ServedVariant:
        """The variant of that name. Raises UnknownVariant or VariantUnavailable."""
        self.unserved.require(self.name, variant, self.served)
        return self.served[variant]

    def find(self, variant: str, *, pinned: bool) -> ServedVariant:
        """The variant of that name. If the routes chose a variant that is not served here, because it is not
        loaded yet or was unloaded, the baseline takes its place. Raises UnknownVariant or
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
        """Choose the variant for a request: the pinned one, or the routes' choice for this sticky key. If the
        queue of the chosen variant is full, the baseline takes its place.

        Raises UnknownVariant, VariantUnavailable, or Overloaded; the request has not been run then."""
        counter = None if pinned is not None or self.protect() is not None else self.counter
        routes = self.routes
        point = point_of(self.name, key)
        chosen = choose(routes, point) if pinned is None else pinned
        choice = (routes.revision, key is not None, chosen)
        bucket = None if key is None else bucket_of(point)
        try:
            variant = self._open(self.find(chosen, pinned=pinned is not None), pinned is not None)
        except Overloaded:
            if counter is not None:
                counter.count(choice, failed=True, ms=0.0, request_id="", bucket=bucket)
            raise
        allowed_s = self._settings.request_timeout_s
        if timeout_s is not None:
            allowed_s = min(allowed_s, timeout_s)
        deadline = asyncio.get_running_loop().time() + allowed_s
        return Ticket(variant.name, pinned is not None, deadline, request_id, slice_, choice, bucket, counter)

    async def ready(self, variant: str | None = None) -> bool:
        """Whether the variant, or by default every variant, can answer now. Raises UnknownVariant."""
        variants = self.served.values() if variant is None else [self.require(variant)]
        return all(await asyncio.gather(*(served.ready() for served in variants)))

    async def answer(self, request: InferRequest, ticket: Ticket, encode: Encode[T]) -> T:
        """The variant's answer, encoded. If the variant fails, or its answer cannot be encoded or has NaN or
        infinity, the baseline answers, unless the request is pinned. A request that must have this variant
        waits until a lost process is back and is tried once more.

        Raises InvalidRequest, DeadlineExceeded, Overloaded, ModelFailed or VariantUnavailable."""
        start, now = time.perf_counter(), asyncio.get_running_loop().time()
        deadline, arrays, parameters = ticket.deadline, request.arrays, Parameters()
        if request.timeout_s is not None:
            deadline = min(deadline, now + request.timeout_s)
        if self.text is not None and self.text.takes(arrays):
            encoded = await self.text.encode_async(arrays[TEXT])
            arrays = encoded.arrays
            parameters |= encoded.parameters
        admitted = AdmittedRequest(arrays, request.outputs, deadline, ticket)
        if ticket.counter is None:
            with Recalled(self.past, self._bucket_at_baseline(ticket)):
                return (await respond(self, admitted, parameters, encode))[1]
        read_class = partial(top_class, task=self.task, meanings=self.shadows.meanings)
        with Admission(ticket.counter, ticket, start, read_class) as admission:
            admission.answer, content = await respond(self, admitted, parameters, encode)
        return content

    def _bucket_at_baseline(self, ticket: Ticket) -> int | None:
        """The bucket of a key that the routes sent to the baseline; None for all other requests."""
        at_baseline = not ticket.pinned and ticket.choice[2] == self.routes.baseline
        return ticket.bucket if at_baseline else None

    def _begin_census(self, watch: Watch) -> RolloutCounter:
        counter = self.begin_census(watch)
        if watch.baseline == self.routes.baseline:
            counter.recall(self.past.counts())
        return counter

    def _end_census(self) -> None:
        if self.counter is not None:
            self.counter.close()

    def _open(self, variant: ServedVariant, pinned: bool) -> ServedVariant:
        """The variant, or the baseline if the variant's queue is full. Raises Overloaded."""
        try:
            variant.refuse_if_full()
        except Overloaded:
            variant.queue.tally.sheds += 1
            if pinned or variant.name == self.routes.baseline:
                raise
            return self._open(self.require(self.routes.baseline), pinned)
        return variant


# A live view: models come and go.
Models = Mapping[str, ServedModel]


def find_model(models: Models, name: str) -> ServedModel:
    """The model of that name. Raises UnknownModel."""
    if name not in models:
        raise UnknownModel(f"no model {name!r} is served here; {nearest(name, models)}")
    return models[name]
