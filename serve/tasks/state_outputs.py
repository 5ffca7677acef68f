"""Find the outputs that are state for the next request, such as that of a recurrent network. Pure."""

import re

from serve.base.tensor import Signature, TensorSpec

# Words of inputs that are state; any other output with the name and shape of an input is an answer.
_STATE = re.compile(r"state|hidden|cell|cache|past|mem|^[hc]x?_?(0|in|prev)?$", re.IGNORECASE)
_BEFORE = re.compile(r"^(?:in|prev|past|init)_"), re.compile(r"_?(?:0|in|prev)$")
_AFTER = re.compile(r"^(?:out|new|next|present)_"), re.compile(r"_?(?:n|out|new|next)$")


def find_states(signature: Signature) -> dict[str, str]:
    """Return the outputs that are the next value of an input, output -> input: both have one shape and type,
    and names such as `h` and `hn`, `state` and `stateN`, `in_cache0` and `out_cache0`. The first output is
    never one."""
    found = {}
    for output in signature.outputs[1:]:
        for item in signature.inputs:
            if _STATE.search(item.name) and _are_alike(item, output) and _are_related(item.name, output.name):
                found[output.name] = item.name
    return found


def _are_alike(one: TensorSpec, other: TensorSpec) -> bool:
    if one.datatype != other.datatype or len(one.shape) != len(other.shape):
        return False
    pairs = zip(one.shape, other.shape, strict=True)
    return all(size == length or isinstance(size, str) or isinstance(length, str) for size, length in pairs)


def _are_related(before: str, after: str) -> bool:
    return bool(_strip(before.lower(), *_BEFORE) & _strip(after.lower(), *_AFTER))


def _strip(name: str, head: re.Pattern[str], tail: re.Pattern[str]) -> set[str]:
    """Return the name with and without what says that it is the value before, or after."""
    headless = head.sub("", name)
    return {name, headless, tail.sub("", name), tail.sub("", headless)}
