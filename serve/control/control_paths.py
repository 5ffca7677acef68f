"""The paths of the control API in the OpenAPI document."""

from typing import Any

from serve.control.operation_row import Operation
from serve.control.operations import OPERATIONS
from serve.openapi.operation_objects import TOKEN, json_answer, json_body, operation, shared


def control_paths() -> dict[str, Any]:
    """Every path under `/control`."""
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _describe(each)
    return paths


def _describe(each: Operation[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"description": each.description} if each.description else {}
    parameters = [name.capitalize() for name in each.names] + ["After"] * each.after
    if parameters:
        fields["parameters"] = shared(*parameters)
    if each.body is not None:
        fields["requestBody"] = json_body(each.body.__name__, each.examples, required=not each.empty)
    example = {} if each.example is None else {"example": each.example}
    given = json_answer(each.answered, each.schema or each.answer.__name__, **example)
    return operation("Control", each.summary, {str(each.status): given}, each.errors, **TOKEN, **fields)
