"""ServedModel: one model being served: its variants, its routes and its tallies."""

import asyncio
import time
from collections.abc import Mapping
from typing import TypeVar

from serve.admission import Admission, Answer, Asked, Parameters, Ticket
from serve.batching import Ran
from serve.errors import (
    ModelFailed,
    Overloaded,
    UnknownModel,
    VariantUnavailable,
)
from serve.figures import Task
from serve.oip.request import InferRequest
from serve.record import nearest
from serve.rollout.census import Census, Sheet, Watch
from serve.rollout.tally import Tally, counted, ran_of
from serve.routing import Routes, bucket_of, choose, point_of
from serve.settings import Settings
from serve.shadow import Shadows
from serve.shadow_copy import Copy
from serve.sound import Encode, encode_sound, lost_outputs
from serve.tensor import Arrays, Signature
from serve.text import TEXT, TextInput
from serve.unserved import require_served
from serve.variant import ServedVariant

_LONGEST_SLICE = 64
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
        return self.census.sheet(self.routes.revision, *ran_of(self.tallies))

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
        point = point_of(self.name, key)
        chosen = choose(routes, point) if pinned is None else pinned
        choice = (routes.revision, key is not None, chosen)
        bucket = None if key is None else bucket_of(point)
        census = self.census if pinned is None else None
        try:
            variant = self._open(self._find(chosen, pinned=pinned is not None), pinned is not None)
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
            return (await self._answer(asked, parameters, encode))[1]
        with Admission(ticket.census, ticket, start) as admission:
            admission.answer, content = await self._answer(asked, parameters, encode)
        return content

    async def _answer(self, asked: Asked, parameters: Parameters, encode: Encode[T]) -> tuple[Answer, T]:
        ticket = asked.ticket
        first = self._find(ticket.variant, pinned=ticket.pinned)
        rescuable = self._rescuable(first, ticket)
        failure = ""
        if first.name != ticket.choice[2]:
            parameters["rescued_from"] = ticket.choice[2]
            failure = VariantUnavailable.__name__
        answer: Answer | None = None
        try:
            with counted(first.queue.tally):
                ran = await first.infer(asked.arrays, asked.deadline)
                answer = Answer(variant=first.name, ran=ran, parameters=parameters, failure=failure)
                if rescuable:
                    return answer, encode_sound(self.signature, asked.outputs, answer, encode)
                content = encode(answer)
        except (VariantUnavailable, ModelFailed, Overloaded) as error:
            failure = type(error).__name__
            second, mark = await self._stand_in(first, asked, error)
        else:
            if self.shadows and not ticket.pinned and ticket.choice[2] == first.name:
                self._copy(asked.arrays, ran, ticket)
            return answer, content
        with counted(second.queue.tally):
            ran = await second.infer(asked.arrays, asked.deadline)
            if rescuable and answer is not None and self._lost_alike(asked, answer.ran, ran):
                return answer, encode(answer)
            rescue = Answer(variant=second.name, ran=ran, parameters=parameters | mark, failure=failure)
            content = encode(rescue)
        first.queue.tally.rescues += 1
        return rescue, content

    def _rescuable(self, variant: ServedVariant, ticket: Ticket) -> bool:
        return not ticket.pinned and variant.name != self.routes.baseline

    async def _stand_in(
        self, first: ServedVariant, asked: Asked, error: Exception
    ) -> tuple[ServedVariant, Parameters]:
        """Who answers instead of `first`, which met `error`, and how the answer says so. Raises it when there
        is nobody."""
        if self._rescuable(first, asked.ticket):
            return self.require(self.routes.baseline), {"rescued_from": first.name}
        if isinstance(error, VariantUnavailable) and await first.recovered(asked.deadline):
            # By its name: a version that is gone may have a successor.
            return self.require(first.name), {"retried": True}
        raise error

    def _lost_alike(self, asked: Asked, *answers: Ran) -> bool:
        """Whether each has NaN or infinity: then the model is like that, or the input is."""
        return all(lost_outputs(self.signature, asked.outputs, ran.outputs) for ran in answers)

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
