"""Routes: for one model, how much traffic each variant gets; and the choice for one request."""

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
# The header, and on gRPC the metadata key, whose value always gets the same variant.
STICKY_KEY = "x-counterweight-key"
# Says which part of all inputs a request belongs to, such as a country: shadows are compared by it, too.
SLICE = "x-counterweight-slice"
# Sticky keys are counted in so many groups.
BUCKETS = 1024


class Routes(Record):
    """Weights are relative; the share of a variant is its weight over their sum.

    Points in [0, 1) are laid out with the baseline in the middle and the candidates, by name, around it.
    While there are at most two, each touches the baseline: raising its weight at the baseline's cost
    moves points from the baseline to it and nowhere else. No layout can promise that for three."""

    model: str
    baseline: str
    # Variant -> weight; the baseline is always named, and 0 means no request at all.
    weights: Mapping[str, Weight]
    # Variant -> the share of the requests that the baseline answered which it gets too; its answers to them
    # are compared and reach nobody.
    shadows: Mapping[str, Share] = {}
    # The header whose value is the sticky key, in lower case.
    sticky: Annotated[str, Field(pattern="^[a-z0-9-]{1,64}$")] = STICKY_KEY
    # Counts up with each change, so that two sets of routes can be told apart.
    revision: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.baseline not in self.weights:
            raise ValueError(f"weights name no baseline {self.baseline!r}; give it one (0 is allowed)")
        if not 0 < math.fsum(self.weights.values()) < math.inf:
            raise ValueError("the weights sum to nothing; at least one must be above 0")
        for variant in self.shadows:
            if variant == self.baseline or self.weights.get(variant):
                raise ValueError(
                    f"shadows: {variant!r} answers requests itself; a shadow is no baseline and has weight 0"
                )
        return self

    def share(self, variant: str) -> float:
        """The share of requests asked for `variant`, 0 to 1."""
        return self.weights.get(variant, 0.0) / math.fsum(self.weights.values())

    def without(self, variant: str) -> "Routes":
        """These routes with all requests of a variant at the baseline."""
        weight = self.weights.get(variant, 0.0)
        if not weight or variant == self.baseline:
            return self
        moved = {variant: 0.0, self.baseline: self.weights[self.baseline] + weight}
        return Routes.model_validate({**self.model_dump(), "weights": {**self.weights, **moved}})

    @cached_property
    def _order(self) -> list[str]:
        # By name: the order in which somebody wrote the weights must not move anybody.
        candidates = sorted(variant for variant in self.weights if variant != self.baseline)
        return [*candidates[0::2], self.baseline, *reversed(candidates[1::2])]

    @cached_property
    def _bounds(self) -> list[float]:
        return list(accumulate(self.weights[variant] for variant in self._order))


def choose(routes: Routes, point: float) -> str:
    """The variant whose stretch of [0, 1) holds `point`."""
    total = routes._bounds[-1]
    # Rounding must not carry the last point past the end, to a variant of weight 0.
    position = min(point * total, math.nextafter(total, 0))
    return routes._order[bisect_right(routes._bounds, position)]


def moved(before: Routes, after: Routes) -> float:
    """The share of the requests that `after` gives to another variant than `before`, 0 to 1."""
    return math.fsum(max(after.share(name) - before.share(name), 0.0) for name in after.weights)


def point_of(model: str, key: str | None) -> float:
    """Where a request falls in [0, 1): by its sticky key, the same each time; without one, anywhere."""
    if key is None:
        return random.random()  # noqa: S311 - a fair draw, not a secret
    digest = hashlib.blake2b(key.encode(), digest_size=8, key=model.encode()[:64]).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def bucket_of(point: float) -> int:
    """The group, 0 to BUCKETS - 1, that the key of `point` is counted in. It is a stretch of [0, 1), so all
    keys of nearly every group get the same variant, and what they did before can be held against it."""
    return int(point * BUCKETS)


def parse_weights(text: str) -> tuple[str, dict[str, float]]:
    """`digits:fp32=90,slim-int8=10` as the model's name and its weights. Raises InvalidRecord."""
    model, colon, pairs = text.partition(":")
    form = "MODEL:VARIANT=WEIGHT,... such as digits:fp32=90,slim-int8=10"
    if not (model and colon):
        raise InvalidRecord(f"weights {text!r} name no model; write {form}")
    return model, parse_pairs(pairs, f"weights {text!r}", form)


def parse_pairs(text: str, source: str, form: str) -> dict[str, float]:
    """`fp32=90,slim-int8=10` as numbers by variant. Raises InvalidRecord, with the right `form`."""
    numbers: dict[str, float] = {}
    for pair in text.split(","):
        variant, equals, written = pair.partition("=")
        try:
            number = float(written)
        except ValueError:
            number = math.nan
        if not (variant and equals and 0 <= number < math.inf) or variant in numbers:
            raise InvalidRecord(
                f"{source}: {pair!r} does not fit; write each variant once, with a number from 0 up: {form}"
            )
        numbers[variant] = number
    return numbers
