"""Defines a table of formatted cells, which the terminal, the page and markdown share."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Formatted cells in rows. The first column holds names, the others values."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    # Columns of words, which are left-aligned.
    worded: frozenset[str] = frozenset()
    # An explanation of the table.
    note: str = ""
