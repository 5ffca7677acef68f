import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("serve", "export", "deployments", "loadtests")
# Room -> the other rooms of this repository that it may import.
DOORS = {"serve": set(), "export": {"serve"}, "deployments": {"serve"}, "loadtests": {"serve"}}
# The modules of `serve` that a load test may import: data and arithmetic on them. It asks for all else over
# HTTP.
DATA = (
    "serve.base.",
    "serve.rollout.evidence.evalues",
    "serve.rollout.judging.guard_figure",
    "serve.rollout.state.",
    "serve.rollout.trail.qualification",
    "serve.tasks.figure_limits",
    "serve.tasks.task_table",
)
# Packages that such a module does not import, not even indirectly.
SERVERS = {"grpc", "onnxruntime", "ray", "sqlalchemy", "starlette", "tokenizers", "uvicorn"}
# Heavy package -> the one room that may import it.
OWNERS = {
    "torch": "export",
    "torch_pruning": "export",
    "optuna": "export",
    "ray": "deployments",
    "locust": "loadtests",
}
# The order inside `serve/`, lowest first. A folder imports only folders of lower lines.
WINGS = (
    ("base",),
    ("counting",),
    ("bundles",),
    ("tasks",),
    ("rollout/evidence", "engine"),
    ("rollout/state",),
    ("rollout/judging",),
    ("rollout/trail",),
    ("rollout/store",),
    ("rollout",),
    ("observe",),
    ("oip",),
    ("http",),
    ("openapi",),
    ("control",),
    ("control/cli",),
    ("app",),
)
FLOORS = {f"serve/{wing}": floor for floor, wings in enumerate(WINGS) for wing in wings}
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
    """A file imports only the rooms that `DOORS` allows, and heavy packages only in their own room."""
    room = path.relative_to(ROOT).parts[0]
    closed = set(ROOMS) - {room} - DOORS[room]
    opened = {package for package, _ in imported(path)}
    assert not opened & closed
    # Other projects' servers run as programs in environments of their own, and no room imports them.
    if path.parent != ROOT / "loadtests" / "peers":
        assert not {package for package in opened & set(OWNERS) if OWNERS[package] != room}
    assert "counterweight" not in opened


@pytest.mark.parametrize("path", sorted((ROOT / "loadtests").rglob("*.py")), ids=str)
def test_a_load_test_imports_only_data_of_serve(path: Path) -> None:
    """A load test imports only the data of `serve`: it sees a server as its clients do."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("serve."):
            assert node.module.startswith(DATA), node.module


def test_the_data_of_serve_bring_no_server_along() -> None:
    """A fresh interpreter that imports all data modules of `serve` loads no server package."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES]
    modules = [name for name in names if name.startswith(DATA) and not name.endswith("__init__")]
    script = f"import sys, {', '.join(modules)}; print(*{SERVERS!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert (len(modules) > 10, done.stdout.split()) == (True, [])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_room_called_serve_is_never_mistaken_for_rays(path: Path) -> None:
    """Ray's `serve` is imported as `ray_serve`, and ours only by its modules."""
    for package, node in imported(path):
        if package == "serve":
            assert isinstance(node, ast.ImportFrom)
            assert node.module != "serve"
        if isinstance(node, ast.ImportFrom) and node.module == "ray":
            assert all(alias.asname == "ray_serve" for alias in node.names if alias.name == "serve")


@pytest.mark.parametrize("path", [path for path in SOURCES if "serve" in path.parts], ids=str)
def test_a_folder_of_serve_imports_only_folders_below_it(path: Path) -> None:
    """The order is app > control > http > oip > {engine, rollout} > tasks > bundles > counting > base."""
    own = path.parent.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("serve."):
            opened = folder_of(node.module)
            assert opened == own or FLOORS[opened] < FLOORS[own], f"{own} imports {node.module}"
            assert not (own.startswith("serve/rollout") and opened == "serve/engine")


def folder_of(module: str) -> str:
    """The folder of a module, or the module itself where it is one."""
    path = module.replace(".", "/")
    return path if (ROOT / path).is_dir() else path.rpartition("/")[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_holds_fewer_than_25_files(path: Path) -> None:
    """Each folder has fewer than 25 Python files."""
    assert len(list(path.parent.glob("*.py"))) < 25


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_with_code_has_its_tests(room: str) -> None:
    """Tests mirror the rooms and their folders."""
    for folder in sorted({path.parent for path in SOURCES if path.relative_to(ROOT).parts[0] == room}):
        if any(path.stem != "__init__" for path in folder.glob("*.py")):
            assert list((ROOT / "tests" / folder.relative_to(ROOT)).glob("**/test_*.py")), folder
