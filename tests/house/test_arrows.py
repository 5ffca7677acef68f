import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("serve", "export", "deployments", "loadtests")
# Which of our rooms a room may import, besides itself.
DOORS = {"serve": set(), "export": {"serve"}, "deployments": {"serve"}, "loadtests": set()}
# The one room that may name a heavy package.
OWNERS = {"torch": "export", "torch_pruning": "export", "ray": "deployments", "locust": "loadtests"}
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """The top-level packages that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_opens_only_the_doors_of_its_room(path: Path) -> None:
    """The arrows of the picture: serve <- export, serve <- deployments, and loadtests knows only a URL."""
    room = path.relative_to(ROOT).parts[0]
    closed = set(ROOMS) - {room} - DOORS[room]
    opened = {package for package, _ in imported(path)}
    assert not opened & closed
    # Other people's servers run in environments of their own, as programs, and are imported by nobody.
    if path.parent != ROOT / "loadtests" / "peers":
        assert not {package for package in opened & set(OWNERS) if OWNERS[package] != room}
    assert "counterweight" not in opened


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_room_called_serve_is_never_mistaken_for_rays(path: Path) -> None:
    """Ray's is always `ray_serve`; ours is always `from serve.x import y`."""
    for package, node in imported(path):
        if package == "serve":
            assert isinstance(node, ast.ImportFrom)
            assert node.module != "serve"
        if isinstance(node, ast.ImportFrom) and node.module == "ray":
            assert all(alias.asname == "ray_serve" for alias in node.names if alias.name == "serve")


def test_every_room_has_its_tests() -> None:
    """Tests mirror the rooms."""
    for room in ROOMS:
        assert list((ROOT / "tests" / room).glob("test_*.py"))
