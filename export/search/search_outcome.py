"""The result of a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.report.pareto import at
from export.sandbox.isolation import Result
from export.search.search_analysis import Analysis
from export.search.search_loop import SearchEnd
from serve.bundles.bundle import Bundle
from serve.bundles.figures import Estimate
from serve.bundles.repository import StoredModel

PAGE = "search.html"


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """The result of a search."""

    analysis: Analysis
    end: SearchEnd
    recipe: Path
    export: Result
    model: StoredModel
    # The variants that were proven on the held-out rows, the fastest of the search first.
    finalists: tuple[str, ...]
    # The first of them that the floor accepts and the export measures as faster; None: the baseline is the
    # answer.
    winner: str | None
    # Rows of the batch whose CPU time counts.
    rows: int

    @property
    def page(self) -> Path:
        """Where the page of the search is."""
        return self.export.folder / PAGE


def find_winner(finalists: Sequence[str], export: Result, model: StoredModel, rows: int) -> str | None:
    """Return the first finalist that the floor accepts on the held-out rows and that is faster than the
    baseline, measured anew: the speed-up of the best of many trials is partly luck."""
    built = [name for name in finalists if name not in export.failed]
    accepted = [name for name in built if model.bundles[name].rejected is None]
    return next((name for name in accepted if read_speedup(model.bundles[name], rows).low > 1), None)


def read_speedup(bundle: Bundle, rows: int) -> Estimate:
    """Return the speed-up of a batch of `rows` rows, or of the largest that was measured; for text, of the
    middle length."""
    points = at(bundle, rows) or bundle.figures.speed.points[-1:]
    return points[len(points) // 2].speedup
