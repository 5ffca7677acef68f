"""The messages between gateways and the keeper."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

from serve.base.errors import CounterweightError
from serve.counting.breaker import Trip
from serve.counting.count_delta import CountDelta
from serve.counting.tally import Loads, add_loads
from serve.engine.catalog import Catalog
from serve.engine.shapes import Shape

# A gateway that has been silent for this long is considered gone.
_GONE_AFTER_S = 5.0
_REMEMBERED = 16
_SETTLE_TIMEOUT_S = 60.0
_SETTLE_EVERY_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayReport:
    """The report that a gateway sends about twice a second."""

    gateway: str
    # The catalog that it serves, and `model/variant` -> the reason why it could not be loaded.
    revision: int
    failures: dict[str, str]
    loads: Loads
    # By model, the counts for its rollout, repeated until they are stored.
    deltas: Mapping[str, CountDelta]
    # By model, the open breaker of its rollout, repeated until the rollout is over.
    trips: Mapping[str, Trip] = field(default_factory=dict)
    # By model, the shapes of the baseline's recent runs.
    shapes: Mapping[str, tuple[Shape, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeeperReply:
    """The keeper's reply."""

    # The newest catalog, if the gateway does not have it; None also while nothing is loaded yet.
    catalog: Catalog | None
    # The counts of all other gateways, including those that are gone.
    others: Loads
    # By model, the number of its last stored delta.
    written: Mapping[str, int]
    # How long nobody has judged the rollouts.
    unjudged_s: float = 0.0


def journals_of(store: str, scratch: Path) -> Path:
    """The folder for the journals of a server's gateways: beside a store that is a file, so that the next
    server with this store finds them; else in `scratch`."""
    url = make_url(store)
    beside = Path(f"{url.database}-gateways") if url.drivername == "sqlite" else scratch / "gateways"
    return beside / scratch.name


def aborts_folder(scratch: Path) -> Path:
    """The folder where gateways leave aborts for each other and for the next keeper."""
    return scratch / "aborted"


class Gateways:
    """All gateways, by name."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, GatewayReport]] = {}
        # The counts of the last gateways that are gone, by name, because they may only have been silent.
        self._gone: dict[str, Loads] = {}
        self._long_gone: Loads = {}

    def receive(self, report: GatewayReport) -> None:
        """Store the report of a gateway."""
        now = time.monotonic()
        self._heard[report.gateway] = (now, report)
        self._gone.pop(report.gateway, None)
        for name in [name for name, (at, _) in self._heard.items() if now - at > _GONE_AFTER_S]:
            self._give_up(name)

    def loads(self, without: str | None = None) -> Loads:
        """The counts of all gateways, including those that are gone, except the one named `without`."""
        heard = [report.loads for name, (_, report) in self._heard.items() if name != without]
        return add_loads([self._long_gone, *self._gone.values(), *heard])

    async def settle(self, revision: int) -> dict[str, str]:
        """Wait until all gateways serve the catalog of that revision. Returns what they could not load."""
        until = time.monotonic() + _SETTLE_TIMEOUT_S
        while behind := [name for name, (_, report) in self._heard.items() if report.revision < revision]:
            now = time.monotonic()
            if now > until:
                raise CounterweightError(f"{len(behind)} gateways did not apply the change within a minute")
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
    """The counts of a gateway that is gone, without its requests in progress."""
    return {key: type(load)(tally=load.tally, in_flight=0, waiting_rows=0) for key, load in loads.items()}
