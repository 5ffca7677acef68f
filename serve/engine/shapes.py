"""The input shapes of a model's recent runs, which other sessions use to warm up.

The first run of a shape allocates memory. Gateways record shapes, the keeper writes them to a file beside the
copies of bundles, and every session of the model runs them, before it is ready and when shapes are added."""

import json
import math
from pathlib import Path

from serve.base.atomic_file import write_whole

# The shape of each input, in the signature's order.
Shape = tuple[tuple[int, ...], ...]
_MOST_KINDS = 64
_MOST_SEEN = 1024


class Shapes:
    """Keeps the largest shape of each kind. Two shapes are of one kind if all dimensions, less 1, have the
    same number of binary digits; then no dimension of one is more than twice the other's."""

    def __init__(self) -> None:
        # Kind -> its largest shape, in the order of the last change.
        self._kinds: dict[Shape, Shape] = {}
        self._seen: set[Shape] = set()

    @property
    def known(self) -> tuple[Shape, ...]:
        """The shapes, the largest first."""
        return tuple(sorted(self._kinds.values(), key=_size_of, reverse=True))

    def see(self, shape: Shape) -> bool:
        """Record a shape. Returns whether a kept shape has changed."""
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
            # So that a removed shape counts as new when it returns.
            self._seen.clear()
        return True


def shapes_path(bundle: Path, model: str) -> Path:
    """The path of the shapes file for the bundle in this folder."""
    return bundle.parent / f"{model}.shapes.json"


def write_shapes(path: Path, shapes: Shapes) -> None:
    """Write the shapes to the file, completely or not at all. Raises OSError."""
    write_whole(path, json.dumps(shapes.known))


def read_shapes(path: Path) -> tuple[Shape, ...]:
    """The shapes in the file, the largest first; empty if there is no file."""
    try:
        return tuple(tuple(map(tuple, shape)) for shape in json.loads(path.read_text()))
    except FileNotFoundError:
        return ()


def _size_of(shape: Shape) -> int:
    return sum(math.prod(dims) for dims in shape)
