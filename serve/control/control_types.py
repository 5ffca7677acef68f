"""The types of the control API's JSON: its records, and the answers that are no records."""

from collections.abc import Mapping
from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from serve.base.routing import Routes
from serve.control.operations import OPERATIONS
from serve.oip.answer_types import Count
from serve.rollout.api_records import RolloutLine, TrailLine
from serve.rollout.trail.qualification import QualificationView


class Conflict(TypedDict):
    """What is asked is not possible in the present state."""

    error: str
    """The value, the present state, and what to do."""
    current: NotRequired[Count]
    """The present number of the record that has changed; read it again and decide again."""


class ControlModels(TypedDict):
    """The names of the models."""

    models: list[str]
    rolling: list[str]
    """The models that have a rollout in progress."""


class VariantCounts(TypedDict):
    """The share of a variant, and its counts since the start."""

    share: float
    """The configured share of the requests."""
    requests: Count
    errors: Count
    p50_ms: float | None
    p99_ms: float | None
    ready: bool
    unproven: bool
    """Not measured on real held-out rows."""
    compared: Count
    """Rows (or tokens) that it answered as a shadow."""
    disagreements: Count
    """The ones among them that differ from the baseline's."""
    dropped: Count
    """Rows that were dropped before the shadow could answer them."""


class ControlModel(TypedDict):
    """The routes and counts of a model."""

    routes: Routes
    variants: Mapping[str, VariantCounts]
    agreement: str | None
    """When an answer of a shadow agrees with the baseline's; None: the bundle does not say."""
    rollout: str | None
    """The rollout in progress."""


class Rollouts(TypedDict):
    """The rollouts of a model."""

    rollouts: list[RolloutLine]
    """Newest first."""


class Qualifications(TypedDict):
    """The qualification results of a model."""

    qualifications: list[QualificationView]
    """Newest first."""


class Trail(TypedDict):
    """A page of the trail."""

    entries: Annotated[list[TrailLine], Field(max_length=500)]
    """Oldest first."""


CONTROL_BODIES = tuple(each.body for each in OPERATIONS if each.body is not None)
CONTROL_ANSWERS = (
    *(each.answer for each in OPERATIONS),
    Conflict,
    ControlModels,
    ControlModel,
    Rollouts,
    Qualifications,
    Trail,
)
