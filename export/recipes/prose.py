"""Collects real English paragraphs that every installation has: the docstrings of its libraries."""

import ast
import hashlib
import importlib.util
import re
import sysconfig
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

# Libraries that the extra `export` installs, besides the standard library.
PACKAGES = ("numpy", "scipy", "sklearn", "sympy", "matplotlib")
_FEWEST_WORDS = 6
_MOST_CHARACTERS = 600
_LEAST_LETTERS = 0.85
_SAME_BEGINNING = 80


def paragraphs(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return every paragraph of prose in the docstrings of the standard library and `packages`, without two
    that begin alike.

    The order depends only on their text. Takes about 15 seconds."""
    texts = {text for folder in _folders(packages) for text in _read_folder(folder)}
    ordered = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    # Copied docstrings differ in a word at the end, and a copy in the train split would leak into the others.
    # Capitals and spaces, which a tokenizer ignores, do not count as a difference.
    first = {_beginning(text): text for text in reversed(ordered)}
    return list(reversed(first.values()))


def _beginning(text: str) -> str:
    """Return the beginning as a tokenizer without case and accents sees it, reduced to letters and digits."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return re.sub("[^a-z0-9]", "", plain)[:_SAME_BEGINNING]


def _folders(packages: Sequence[str]) -> Iterator[Path]:
    yield Path(sysconfig.get_paths()["stdlib"])
    for name in packages:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent


def _read_folder(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        # Tests are not prose, and packages below the standard library's folder are not part of it.
        if {"tests", "test", "site-packages", "dist-packages"} & {*path.relative_to(folder).parts}:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates and files in other encodings
            continue
        for docstring in _docstrings(tree):
            for block in re.split(r"\n\s*\n", docstring):
                text = " ".join(block.split())
                if _is_prose(text):
                    yield text


def _docstrings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield ast.get_docstring(node) or ""
    # Only statements are visited: ast.walk would visit every expression and take twice as long.
    for field in ("body", "orelse", "handlers", "finalbody"):
        children = getattr(node, field, ())
        for child in children if isinstance(children, list) else ():
            yield from _docstrings(child)


def _is_prose(text: str) -> bool:
    letters = len(re.sub(r"[\W\d_]", "", text)) + text.count(" ")
    return (
        len(text.split()) >= _FEWEST_WORDS
        and len(text) <= _MOST_CHARACTERS
        and letters >= _LEAST_LETTERS * len(text)
        and not re.search(r">>>|--|::|\.\. |https?:|^[-=~*:]|^Args|^Returns?:", text)
    )
