"""Keeps the names that quantization adds (a name with an ending such as `_scale`) unique."""

from collections.abc import Iterator
from typing import Any

from export.onnx.graph import Step, insert, rename


def separate(model: Any) -> Any:
    """Rename values in place so that none is another value's name with `_` and an ending, which makes every
    added name unique.

    Inputs and outputs keep their names."""
    graph = model.graph
    _hide(graph)
    fixed = {item.name for item in (*graph.input, *graph.output)}
    names = fixed | {item.name for item in graph.initializer}
    names |= {name for node in graph.node for name in node.output if name}
    renamed: dict[str, str] = {}
    for name in sorted(names):
        for start in _starts(name):
            if start not in names or {name, start} <= fixed or {name, start} & renamed.keys():
                continue
            changed = name if name not in fixed else start
            renamed[changed] = _free(changed, names)
            names.add(renamed[changed])
    rename(graph, renamed)
    return model


def _hide(graph: Any) -> None:
    """Use other names inside the graph where an input or output is another one's name with an ending, since
    neither can be renamed."""
    fixed = {item.name for item in (*graph.input, *graph.output)}
    hidden = {start for name in fixed for start in _starts(name) if start in fixed}

    def pass_on(name: str) -> Step:
        return ("Identity", {}) if name in hidden else None

    insert(graph.input, graph, pass_on)
    insert(graph.output, graph, pass_on)


def _starts(name: str) -> Iterator[str]:
    """Return every name that this one extends by an ending; an ending does not contain a module path."""
    for place, letter in enumerate(name):
        if letter == "_" and "." not in name[place:]:
            yield name[:place]


def _free(name: str, names: set[str]) -> str:
    free = name.replace("_", ".")
    while free in names or any(other.startswith(f"{free}_") for other in names):
        free += ".inner"
    return free
