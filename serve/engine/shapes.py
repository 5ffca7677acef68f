"""Shapes: those that a model's runs have had lately, so that whoever runs it next is warm before any request.

The first run of a shape allocates. Gateways see the shapes, the keeper puts them into a file beside the
copies of bundles, and every session of one of these runs them: before it is ready, and soon after there are
more."""

import json
import math
from pathlib import Path

from serve.base.whole_file import write_whole

# The shape of each input, in the signature's order.
Shape = tuple[tuple[int, ...], ...]
_MOST_KINDS = 64
_MOST_SEEN = 1024


class Shapes:
    """Of each kind the largest that came. Two are of a kind when no dimension of one is more than twice the
    other's: their numbers less 1 have as many binary digits."""

    def __init__(self) -> None:
        # Kind -> its largest shape; the last that changed is last.
        self._kinds: dict[Shape, Shape] = {}
        self._seen: set[Shape] = set()

    @property
    def known(self) -> tuple[Shape, ...]:
        """The largest first."""
        return tuple(sorted(self._kinds.values(), key=_size_of, reverse=True))

    def see(self, shape: Shape) -> bool:
        """A shape came; whether there is more to know now."""
        if shape in self._seen:
            return False
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen.add(shape)
        kind = tuple(tuple((dim - 1).bit_length() for dim in dims) for dims in shape)
        largest = self._kinds.get(kind)
        if largest is not None and _size_of(shape) <= _size_of(largest):
            return False
        self._kinds.pop(kind, None)
        self._kinds[kind] = shape
        if len(self._kinds) > _MOST_KINDS:
            del self._kinds[next(iter(self._kinds))]
            # So that it is new when it comes again.
            self._seen.clear()
        return True


def shapes_path(bundle: Path, model: str) -> Path:
    """The file for the bundle in this folder."""
    return bundle.parent / f"{model}.shapes.json"


def write_shapes(path: Path, shapes: Shapes) -> None:
    """Put them into the file, whole or not at all. Raises OSError."""
    write_whole(path, json.dumps(shapes.known))


def read_shapes(path: Path) -> tuple[Shape, ...]:
    """Those in the file, the largest first; there may be none."""
    try:
        return tuple(tuple(map(tuple, shape)) for shape in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()


def _size_of(shape: Shape) -> int:
    return sum(math.prod(dims) for dims in shape)
