"""Proves that no row is in two splits."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from export.errors import InvalidData


def refuse_overlaps(factory: str, splits: Mapping[str, Sequence[str]]) -> None:
    """Raise InvalidData if a row is in two splits, which are given by the hashes of their rows."""
    for one, other in combinations(splits, 2):
        first_row = {digest: row for row, digest in reversed(list(enumerate(splits[one])))}
        shared = [(first_row[digest], row) for row, digest in enumerate(splits[other]) if digest in first_row]
        if shared:
            examples = ", ".join(f"{one}[{left}] = {other}[{right}]" for left, right in shared[:3])
            raise InvalidData(
                f"{factory}: the splits {one} and {other} share {len(shared)} rows ({examples}"
                f"{', ...' if len(shared) > 3 else ''}): a metric on rows that were used before proves "
                "nothing; remove them from one of the two"
            )
