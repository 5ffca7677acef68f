"""Grid: figures in rows, as words; the terminal, the page and a pull request show the same."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells as they are shown. The first column names, the others hold figures."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    # The columns that hold words, which are read from the left.
    worded: frozenset[str] = frozenset()
    # How to read it.
    note: str = ""
