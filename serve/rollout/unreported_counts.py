"""Deliver the counts that dead gateways had not reported."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from serve.counting.count_delta import Choice, Count, CountDelta
from serve.counting.journal import delete_journal, find_dead, is_in_use, read_accounts, read_running
from serve.counting.ledger import Account, Line
from serve.counting.shadow_results import ShadowResults

_log = logging.getLogger("counterweight.leftovers")
# Accepts a delta for a model and a gateway. Returns whether it must be sent again.
Accept = Callable[[str, str, CountDelta], bool]


class UnreportedCounts:
    """The journals of dead gateways, including those of other servers on the same store. They stay until all
    counts are stored. A delta keeps the number that its gateway gave it, so each request counts once."""

    def __init__(self, folder: Path) -> None:
        """Each server has its own folder in `folder`."""
        self._folder = folder
        # (folder, gateway) -> models and their deltas.
        self._deltas: dict[tuple[Path, str], list[tuple[str, CountDelta]]] = {}

    def deliver(self, accept: Accept) -> None:
        """Send the unreported deltas of dead gateways again."""
        try:
            self._find()
            for (folder, gateway), deltas in list(self._deltas.items()):
                # All of them, not only up to the first one that must be sent again.
                again = [accept(model, gateway, delta) for model, delta in deltas]
                if not any(again):
                    delete_journal(folder, gateway)
                    del self._deltas[folder, gateway]
        except OSError as error:
            _log.error("the journals of dead gateways cannot be read now, and are tried again: %s", error)

    def _find(self) -> None:
        for folder in sorted(self._folder.glob("*/")):
            for gateway in find_dead(folder):
                if (folder, gateway) not in self._deltas:
                    self._deltas[folder, gateway] = _read(folder, gateway)


def _read(folder: Path, gateway: str) -> list[tuple[str, CountDelta]]:
    try:
        running = read_running(folder, gateway) if is_in_use(folder) else frozenset[str]()
        accounts = read_accounts(folder, gateway)
    except (OSError, ValueError) as error:
        _log.error("gateway %s died, and its journal cannot be read: %s", gateway, error)
        return []
    _log.warning("gateway %s died while running: %s", gateway, ", ".join(sorted(running)) or "nothing")
    return [(account.model, delta) for account in accounts for delta in recover(account, running)]


def recover(account: Account, running: Collection[str]) -> Iterator[CountDelta]:
    """The unreported deltas of a dead gateway. `running` has the variants, as MODEL/VARIANT, that its process
    was running when it died.

    Requests in flight count as errors of these variants. For other variants they count as requests only,
    because those did not crash the gateway."""
    ran = tuple(
        variant
        for variant in (account.baseline, account.candidate)
        if f"{account.model}/{variant}" in running
    )
    for number, lines in account.deltas.items():
        counts = _counts(lines, ran)
        died = ran if number == max(account.deltas) else ()
        if counts or died:
            yield CountDelta(
                rollout=account.rollout,
                number=number,
                counts=counts,
                runs={},
                copies=ShadowResults(),
                disagreements=(),
                answered=(),
                died=died,
            )


def _counts(lines: Iterable[Line], ran: Collection[str]) -> dict[Choice, Count]:
    counts: dict[Choice, Count] = {}
    # Totals first, then the buckets that are part of them.
    for line in sorted(lines, key=lambda line: line.bucket is not None):
        count = Count.of(line.numbers)
        if line.choice[2] in ran:
            count.errors += max(line.in_flight, 0)
        if count == Count():
            continue
        if line.bucket is None:
            counts[line.choice] = count
        else:
            counts.setdefault(line.choice, Count()).keys[line.bucket] = count
    return counts
