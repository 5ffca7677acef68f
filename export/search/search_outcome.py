"""The result of a search."""

from dataclasses import dataclass
from pathlib import Path

from export.sandbox.isolation import Result
from export.search.search_analysis import Analysis
from export.search.search_loop import SearchEnd
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
    # The first of them that the floor accepts; None: the baseline is the answer.
    winner: str | None

    @property
    def page(self) -> Path:
        """Where the page of the search is."""
        return self.export.folder / PAGE
