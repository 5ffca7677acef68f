import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.house.test_arrows import ROOT, SOURCES

# File names that mean the same thing in every folder: a folder's command, what it raises, what it measures
# and what it writes.
SHARED = {"__init__", "bench", "cli", "errors", "report"}
GENERATED = {"inference_pb2"}


def public_classes(path: Path) -> Iterator[str]:
    """The classes that other files may import."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def repeated(names: Iterator[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that several files have, and these files."""
    places = defaultdict(list)
    for name, path in names:
        places[name].append(path.relative_to(ROOT).as_posix())
    return {name: found for name, found in places.items() if len(found) > 1}


def test_a_public_class_is_defined_once() -> None:
    """No two public classes have the same name."""
    assert not repeated((name, path) for path in SOURCES for name in public_classes(path))


def test_a_file_name_means_one_thing() -> None:
    """No two modules have the same file name, except the shared names."""
    named = ((path.stem, path) for path in SOURCES if path.stem not in SHARED | GENERATED)
    assert not repeated(named)


def test_no_two_file_names_differ_by_an_s() -> None:
    """No file name equals another file name plus an `s`."""
    stems = {path.stem for path in SOURCES}
    assert not {stem for stem in stems if f"{stem}s" in stems}
