"""Gateways: what a keeper hears of them, and what it tells them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

from serve.base.errors import CounterweightError
from serve.counting.breaker import Trip
from serve.counting.census import Sheet
from serve.counting.tally import Loads, add_loads
from serve.engine.catalog import Catalog
from serve.engine.shapes import Shape

# A gateway that has not been heard of for so long is gone.
_GONE_AFTER_S = 5.0
_REMEMBERED = 16
_SETTLE_TIMEOUT_S = 60.0
_SETTLE_EVERY_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a gateway says, about twice a second."""

    gateway: str
    # The catalog that it serves, and which variants of it (`model/variant`) it could not have, and why.
    revision: int
    failures: dict[str, str]
    loads: Loads
    # By model, what the rollouts that watch are to be told; again and again, until it is written down.
    sheets: Mapping[str, Sheet]
    # By model, that the candidate of its rollout fails totally; again and again, until the rollout is over.
    trips: Mapping[str, Trip] = field(default_factory=dict)
    # By model, the shapes that runs of its baseline have had lately.
    shapes: Mapping[str, tuple[Shape, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What it hears in return."""

    # The newest one, unless it has it; None, too, while nothing is loaded yet.
    catalog: Catalog | None
    # What all other gateways, those that are gone among them, have counted.
    others: Loads
    # By model, the number of its last sheet that is written down.
    written: Mapping[str, int]
    # For how long nobody has judged the rollouts.
    unjudged_s: float = 0.0


def journals_of(store: str, scratch: Path) -> Path:
    """Where the gateways of the server whose folder is `scratch` keep their journals: beside a store that is
    a file, so that the next server over it finds them."""
    url = make_url(store)
    beside = Path(f"{url.database}-gateways") if url.drivername == "sqlite" else scratch / "gateways"
    return beside / scratch.name


def notices_of(scratch: Path) -> Path:
    """Where gateways tell each other, and the next keeper, what no keeper could be told."""
    return scratch / "aborted"


class Gateways:
    """All gateways, by their names."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, Report]] = {}
        # What gateways had counted that are gone, the last few by name: one may only have been silent.
        self._gone: dict[str, Loads] = {}
        self._long_gone: Loads = {}

    def hear(self, report: Report) -> None:
        """A gateway is there."""
        now = time.monotonic()
        self._heard[report.gateway] = (now, report)
        self._gone.pop(report.gateway, None)
        for name in [name for name, (at, _) in self._heard.items() if now - at > _GONE_AFTER_S]:
            self._give_up(name)

    def loads(self, without: str | None = None) -> Loads:
        """What all have counted, those that are gone among them; but for the one of that name."""
        heard = [report.loads for name, (_, report) in self._heard.items() if name != without]
        return add_loads([self._long_gone, *self._gone.values(), *heard])

    async def settle(self, revision: int) -> dict[str, str]:
        """Return once all serve the catalog of that revision, with what they could not have of it."""
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while behind := [name for name, (_, report) in self._heard.items() if report.revision < revision]:
            now = time.monotonic()
            if now > until:
                raise CounterweightError(f"{len(behind)} gateways did not take the change within a minute")
            for name in behind:
                if now - self._heard[name][0] > _GONE_AFTER_S:
                    self._give_up(name)
            await asyncio.sleep(_SETTLE_EVERY_S)
        failures: dict[str, str] = {}
        for _, report in self._heard.values():
            failures |= report.failures
        return failures

    def _give_up(self, gateway: str) -> None:
        _, last = self._heard.pop(gateway)
        self._gone[gateway] = _without_work(last.loads)
        if len(self._gone) > _REMEMBERED:
            oldest = next(iter(self._gone))
            self._long_gone = add_loads([self._long_gone, self._gone.pop(oldest)])


def _without_work(loads: Loads) -> Loads:
    """The counts of a gateway that is gone; what it had in hand is gone with it."""
    return {key: type(load)(tally=load.tally, in_flight=0, waiting_rows=0) for key, load in loads.items()}
