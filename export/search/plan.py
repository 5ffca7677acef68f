"""A plan: the steps of a search, with spaces as settings; steps may be optional or in any order. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from export.search.space import Chooser, choose_one, choose_settings, find_lists, require_spaces
from export.step import STEPS, Step, Steps
from serve.base.record import Record, explain, nearest

_STEP: TypeAdapter[Any] = TypeAdapter(Step)


class SearchedStep(Record):
    """One step, whose settings may be spaces."""

    settings: dict[str, Any]
    # Whether trials without the step are made too.
    optional: bool = False

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Read the form that a person writes, in which `optional` stands among the settings."""
        if not isinstance(data, Mapping) or set(data) <= {"settings", "optional"}:
            return data
        if "step" not in data:
            raise ValueError(f"a step needs its kind, such as `step: quantize`; known: {', '.join(STEPS)}")
        if data["step"] not in STEPS:
            raise ValueError(f"unknown step {data['step']!r}; {nearest(str(data['step']), STEPS)}")
        settings = {key: value for key, value in data.items() if key != "optional"}
        known = STEPS[data["step"]].model_fields
        for key in settings:
            if key not in known:
                raise ValueError(f"{data['step']}: unknown setting {key!r}; {nearest(str(key), known)}")
        return {"settings": settings, "optional": data.get("optional", False)}

    @property
    def kind(self) -> str:
        """The kind of step, such as "prune"."""
        return str(self.settings["step"])


class AnyOrder(Record):
    """Steps of which every order is tried."""

    any_order: Annotated[tuple[SearchedStep, ...], Field(min_length=2)]


Part = SearchedStep | AnyOrder
Plan = Annotated[tuple[Part, ...], Field(min_length=1)]


class Incompatible(Exception):
    """Raised when chosen settings do not make a variant."""


def list_steps(plan: Sequence[Part]) -> Iterator[SearchedStep]:
    """Yield all steps of a plan in the order in which they are written."""
    for part in plan:
        yield from part.any_order if isinstance(part, AnyOrder) else (part,)


def require_plan(plan: Sequence[Part], finite: bool) -> None:
    """Raise ValueError unless every space of the plan has values; `finite`: that can be counted."""
    for number, step in enumerate(list_steps(plan), start=1):
        try:
            require_spaces(step.settings, finite, find_lists(STEPS[step.kind]))
        except ValueError as error:
            raise ValueError(f"step {number} ({step.kind}): {error}") from None


def choose_steps(plan: Sequence[Part], chooser: Chooser, name: str) -> Steps:
    """Return the steps of one trial; `name`, the plan's, begins the names of the choices.

    Raises Incompatible if these settings do not go together."""
    chosen: list[Any] = []
    for number, part in enumerate(plan, start=1):
        place = f"{name}.{number}"
        for step in _in_order(part, chooser, place):
            kind = f"{place}.{step.kind}"
            if step.optional and not chooser.suggest_categorical(kind, [True, False]):
                continue
            settings = choose_settings(step.settings, chooser, kind, find_lists(STEPS[step.kind]))
            try:
                chosen.append(_STEP.validate_python(settings))
            except ValidationError as error:
                raise Incompatible(f"{step.kind}: {explain(error)}") from None
    return tuple(chosen)


def _in_order(part: Part, chooser: Chooser, place: str) -> tuple[SearchedStep, ...]:
    if isinstance(part, SearchedStep):
        return (part,)
    orders = [" ".join(map(str, order)) for order in permutations(range(1, len(part.any_order) + 1))]
    order = choose_one(f"{place}.order", orders, chooser)
    return tuple(part.any_order[int(at) - 1] for at in order.split())


class Plans(Record):
    """Alternative plans by name, of which each trial follows one."""

    plans: Annotated[dict[str, Plan], Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for plan in self.plans.values():
            require_plan(plan, finite=False)
        return self

    def choose(self, chooser: Chooser) -> Steps:
        """Return the steps of one trial. Raises Incompatible if the chosen settings do not go together."""
        names = list(self.plans)
        name = names[0] if len(names) == 1 else chooser.suggest_categorical("plan", names)
        return choose_steps(self.plans[name], chooser, name)
