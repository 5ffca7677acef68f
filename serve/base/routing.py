"""Routes of a model: how much traffic each variant gets, and which variant answers a request."""

import hashlib
import math
import random
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Self

from pydantic import Field, model_validator

from serve.base.errors import InvalidRecord
from serve.base.record import Record

Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
# A header, or a gRPC metadata key. Requests with the same value always get the same variant.
STICKY_KEY = "x-counterweight-key"
# Names the slice of the inputs that a request belongs to, such as a country. Shadows are compared by slice.
SLICE = "x-counterweight-slice"
# The number of groups in which sticky keys are counted.
BUCKETS = 1024


class Routes(Record):
    """Weights are relative; the share of a variant is its weight over their sum.

    The interval [0, 1) is divided with the baseline in the middle and the candidates, by name, around it.
    With at most two candidates, each one touches the baseline, so raising its weight at the baseline's cost
    moves points only from the baseline to it. No layout can guarantee this for three candidates."""

    model: str
    baseline: str
    # Variant -> weight. The baseline is always named; a variant with weight 0 gets no requests.
    weights: Mapping[str, Weight]
    # Variant -> the share of the baseline's requests that are copied to it. Its answers are compared with the
    # baseline's and sent to nobody.
    shadows: Mapping[str, Share] = {}
    # The header whose value is the sticky key, in lower case.
    sticky: Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")] = STICKY_KEY
    # Incremented with each change, so that two sets of routes can be told apart.
    revision: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.baseline not in self.weights:
            raise ValueError(f"weights do not name the baseline {self.baseline!r}; add it (0 is allowed)")
        if not 0 < math.fsum(self.weights.values()) < math.inf:
            raise ValueError(
                "the weights sum to 0 or to infinity; at least one must be above 0, and all finite"
            )
        for variant in self.shadows:
            if variant == self.baseline or self.weights.get(variant):
                raise ValueError(
                    f"shadows: {variant!r} is the baseline or has a weight; a shadow must have weight 0"
                )
        return self

    def share(self, variant: str) -> float:
        """The configured share of requests for `variant`, 0 to 1."""
        return self.weights.get(variant, 0.0) / math.fsum(self.weights.values())

    def without(self, variant: str) -> "Routes":
        """These routes with all requests of `variant` moved to the baseline."""
        weight = self.weights.get(variant, 0.0)
        if not weight or variant == self.baseline:
            return self
        moved = {variant: 0.0, self.baseline: self.weights[self.baseline] + weight}
        return Routes.model_validate({**self.model_dump(), "weights": {**self.weights, **moved}})

    @cached_property
    def _order(self) -> list[str]:
        # By name: the order in which the weights are written must not move any key.
        candidates = sorted(variant for variant in self.weights if variant != self.baseline)
        return [*candidates[0::2], self.baseline, *reversed(candidates[1::2])]

    @cached_property
    def _bounds(self) -> list[float]:
        return list(accumulate(self.weights[variant] for variant in self._order))


def choose(routes: Routes, point: float) -> str:
    """The variant whose interval of [0, 1) contains `point`."""
    total = routes._bounds[-1]
    # Rounding must not carry the last point past the end, to a variant of weight 0.
    position = min(point * total, math.nextafter(total, 0))
    return routes._order[bisect_right(routes._bounds, position)]


def moved(before: Routes, after: Routes) -> float:
    """The share of the requests that get another variant under `after` than under `before`, 0 to 1."""
    return math.fsum(max(after.share(name) - before.share(name), 0.0) for name in after.weights)


def point_of(model: str, key: str | None) -> float:
    """The point of a request in [0, 1): a hash of its sticky key, or a random number if it has no key."""
    if key is None:
        return random.random()  # noqa: S311 - traffic split, not a secret
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=model.encode()[:64]).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def bucket_of(point: float) -> int:
    """The group, 0 to BUCKETS - 1, in which the key of `point` is counted. A group is an interval of [0, 1),
    so nearly all groups have keys of one variant only, and can be compared with their own past."""
    return int(point * BUCKETS)


def parse_weights(text: str) -> tuple[str, dict[str, float]]:
    """Split `digits:fp32=90,slim-int8=10` into the model and its weights. Raises InvalidRecord."""
    model, colon, pairs = text.partition(":")
    form = "MODEL:VARIANT=WEIGHT,... such as digits:fp32=90,slim-int8=10"
    if not (model and colon):
        raise InvalidRecord(f"weights {text!r} do not name a model; write {form}")
    return model, parse_pairs(pairs, f"weights {text!r}", form)


def parse_pairs(text: str, source: str, form: str) -> dict[str, float]:
    """Parse `fp32=90,slim-int8=10` into numbers by variant. Raises InvalidRecord, which shows `form`."""
    numbers: dict[str, float] = {}
    for pair in text.split(","):
        variant, equals, written = pair.partition("=")
        try:
            number = float(written)
        except ValueError:
            number = math.nan
        if not (variant and equals and 0 <= number < math.inf) or variant in numbers:
            raise InvalidRecord(
                f"{source}: {pair!r} is not valid; write each variant once, with a number from 0 up: {form}"
            )
        numbers[variant] = number
    return numbers
