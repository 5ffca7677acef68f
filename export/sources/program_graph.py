"""Checks the graph of a torch.export program, because torch turns it into Python code."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from export.errors import InvalidSource

# Some aten operators access files.
_OPERATOR = re.compile(
    r"torch\.ops\.aten\.(?!from_file|save|load)\w+\.\w+|_operator\.\w+|math\.\w+|torch\.(sym_\w+|_sym_\w+)"
)
_NAME = re.compile(r"[\w.+:-]*")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
# Functions that sympy may call when it reads the expression of a size.
_FUNCTIONS = re.compile(
    "Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|And|Or|Not|floor|ceiling|Mod|FloorDiv|CeilDiv|CleanDiv"
    "|ModularIndexing|Where|PythonMod|CeilToInt|FloorToInt|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    "|TruncToFloat|TruncToInt|RoundToInt|ToFloat|Identity|Eq|Ne|Equality|Unequality|(Strict)?(Less|Greater)Than"
)
_ARITHMETIC = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
_EXPRESSION = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.keyword)


def check_graph(name: str, graph: Any) -> Any:
    """Return the graph without its notes and guards, which torch would execute.

    Raises InvalidSource for anything in it that is neither a plain name nor a standard operator, and for a
    graph recorded in training mode."""
    for node in _nodes(graph):
        node["metadata"] = {}
        for item in node.get("inputs", []):
            if item["name"] in ("train", "training") and item["arg"].get("as_bool"):
                raise InvalidSource(
                    f"{name}: {node['target']} was recorded in training mode; call model.eval() before "
                    "torch.export.export"
                )
    graph["guards_code"] = []
    for key, value in _strings("", graph):
        if not _is_harmless(key, value):
            raise InvalidSource(
                f"{name}: {value!r:.100} (under {key or 'a key'}) is neither a name nor a standard operator, "
                "and nothing of it was run; a program here uses torch.ops.aten only, and takes and returns "
                "tensors, tuples, lists and dicts"
            )
    return graph


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Return every node, including those of nested graphs."""
    if isinstance(value, dict):
        if "target" in value and "metadata" in value:
            yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)


def _strings(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Return every string in the graph with its key; the keys themselves under ""."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield "", name
            yield from _strings(name, child)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(key, child)


def _is_harmless(key: str, value: str) -> bool:
    match key:
        case "target" | "as_operator":
            return _OPERATOR.fullmatch(value) is not None
        case "expr_str":
            return _is_size(value)
        case "in_spec" | "out_spec":
            return _is_plain_structure(json.loads(value)[1])
        case "as_string" | "as_strings":
            return True  # torch writes them with repr
        case _:
            return _NAME.fullmatch(value) is not None


def _is_size(text: str) -> bool:
    """Whether sympy, which evaluates the text, can only do arithmetic with it."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return False
    return all(
        isinstance(node, (*_EXPRESSION, *_ARITHMETIC))
        # sympy evaluates strings within the text once more.
        or (isinstance(node, ast.Constant) and re.fullmatch(r"[\w.]+", str(node.value)))
        or (isinstance(node, ast.Call) and _FUNCTIONS.fullmatch(ast.unparse(node.func)))
        for node in ast.walk(tree)
    )


def _is_plain_structure(spec: Any) -> bool:
    return (
        spec["type"] in _CONTAINERS
        and all(_NAME.fullmatch(text) for _, text in _strings("", json.loads(spec["context"] or "null")))
        and all(_is_plain_structure(child) for child in spec["children_spec"])
    )
