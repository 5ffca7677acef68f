"""Cleans up the operator sets that a graph declares."""

from typing import Any

from export.errors import InvalidSource
from export.onnx.graph import nodes_of

# The set that a graph without standard operators gets; it does not affect the results.
_OPSET = 18
# The two names of the standard operators.
_STANDARD = ("", "ai.onnx")
# Sets that have only one version.
_SINGLE = {"com.microsoft": 1}


def settle_imports(name: str, model: Any) -> None:
    """Remove unused sets, name the standard set "", and add it if it is missing.

    Raises InvalidSource, which calls the model `name`, if the version of a used set is not known."""
    for node in nodes_of(model.graph):
        if node.domain in _STANDARD:
            node.ClearField("domain")
    versions = {"" if item.domain in _STANDARD else item.domain: item.version for item in model.opset_import}
    used = {node.domain for node in nodes_of(model.graph)}
    for domain in sorted(used - versions.keys()):
        if domain not in _SINGLE:
            operators = sorted({node.op_type for node in nodes_of(model.graph) if node.domain == domain})
            raise InvalidSource(
                f"{name} uses {', '.join(operators[:5])} of the operator set {domain or 'ai.onnx'!r} and "
                "does not say which version of it; append "
                f"onnx.helper.make_opsetid({domain!r}, VERSION) to its opset_import, or export it again"
            )
        versions[domain] = _SINGLE[domain]
    versions.setdefault("", _OPSET)
    del model.opset_import[:]
    for domain in sorted(used | {""}):
        model.opset_import.add(domain=domain, version=versions[domain])
