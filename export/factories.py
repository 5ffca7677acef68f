"""Imports the functions that a recipe names, and digests the code behind them."""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from export.errors import InvalidSource
from export.sandbox.foreign_code import limited
from serve.base.record import nearest
from serve.bundles.bundle import sha256

_ROOM = Path(__file__).parent
# Folders that do not count for the digest; a shipped recipe counts if it is a factory.
_UNDECISIVE = ("recipes", "bench")
# The folders of `serve` that decide how answers are computed and compared.
_DECISIVE = ("bundles", "engine", "tasks")


@contextmanager
def importable(folders: Sequence[Path]) -> Iterator[None]:
    """Make modules in `folders` importable while the context lasts; restores `sys.path`."""
    before = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def call_factory(factory: str, arguments: Mapping[str, Any]) -> Any:
    """Call the function at `package.module:function`. Raises InvalidSource."""
    with limited(factory):
        return _call(factory, arguments)


def _call(factory: str, arguments: Mapping[str, Any]) -> Any:
    function = _import("factory", factory)
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:  # a factory is foreign code and may raise anything
        raise InvalidSource(
            f"{factory} called with {dict(arguments)} failed: {type(error).__name__}: {error}"
        ) from error


def import_function(kind: str, name: str) -> Callable[..., Any]:
    """Return the function at `package.module:function`; `kind` says in messages what it is, such as "metric".
    Raises InvalidSource."""
    with limited(name):
        return _import(kind, name)


def digest_code(factories: Iterable[str], folders: Sequence[Path]) -> str:
    """Return the SHA-256 of the code that determines a result.

    It covers the factories' modules, their imports from `folders`, this package, and what it uses of `serve`.
    Installed packages count by their versions."""
    files = _find_files(factories, folders)
    for path in _list_own_code():
        files[path.relative_to(_ROOM.parent).as_posix()] = path
    return _digest(files)


def digest_function(name: str, folders: Sequence[Path]) -> str:
    """Return the SHA-256 of the module of `package.module:function` and of its imports from `folders`."""
    return _digest(_find_files([name], folders))


def _find_files(functions: Iterable[str], folders: Sequence[Path]) -> dict[str, Path]:
    """Return the files of the functions' modules and of their imports from `folders`, by module."""
    # This checkout is included, so that a shipped recipe has the same digest from any current folder.
    finder = _Finder(path=[str(folder) for folder in (*folders, _ROOM.parent)])
    files: dict[str, Path] = {}
    for function in functions:
        name = function.partition(":")[0]
        try:
            finder.import_hook(name)
        except ImportError:  # not in these folders, so it is installed
            files[name] = Path(_find(name))
        except SyntaxError as error:
            raise InvalidSource(f"factory {function}: {error}") from None
    for name, module in finder.modules.items():
        path = getattr(module, "__file__", None)
        if path is not None:
            files[name] = Path(path)
    return files


def _digest(files: Mapping[str, Path]) -> str:
    return sha256("".join(f"{name} {sha256(files[name].read_bytes())}\n" for name in sorted(files)).encode())


def _list_own_code() -> Iterator[Path]:
    for path in _ROOM.rglob("*.py"):
        if path.relative_to(_ROOM).parts[0] not in _UNDECISIVE:
            yield path
    for folder in _DECISIVE:
        yield from (_ROOM.parent / "serve" / folder).rglob("*.py")


class _Finder(ModuleFinder):
    """Finds packages without an `__init__.py`, too, as Python does."""

    def import_module(self, partname: str, fqname: str, parent: Any) -> Any:
        path = parent.__path__ if parent else self.path
        if path is not None and fqname not in self.modules:
            spec = importlib.machinery.PathFinder.find_spec(partname, path)
            if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
                package: Any = self.add_module(fqname)
                package.__path__ = list(spec.submodule_search_locations)
        return super().import_module(partname, fqname, parent)


def _import(kind: str, name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    _find(module_name)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # importing runs foreign code
        raise InvalidSource(
            f"{kind} {name}: importing {module_name} failed: {type(error).__name__}: {error}"
        ) from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise InvalidSource(
            f"{kind} {name}: {module_name} has no function {function_name!r}; "
            f"{nearest(function_name, public)}"
        )
    return function


def _find(module_name: str) -> str:
    """Return the file of a module. Raises InvalidSource if there is none, or another module of that name is
    loaded."""
    top = module_name.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__file__", None)
    spec = importlib.machinery.PathFinder.find_spec(top)
    origin = spec.origin if spec is not None else None
    if loaded is not None and origin is not None and Path(origin).resolve() != Path(loaded).resolve():
        raise InvalidSource(
            f"module {top!r} of the recipe's folder has the name of one that is already loaded; rename it"
        )
    try:
        spec = importlib.util.find_spec(module_name)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise InvalidSource(
            f"module {module_name!r} is neither in the recipe's folder, nor in the current one, nor installed"
        )
    return spec.origin
