"""Every answer of the control API matches its documentation, whatever request is sent."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serve.app.openapi import openapi
from serve.base.settings import Settings
from tests.serve.endpoint import Endpoint

CHECKED = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Each run uses the same examples and reports a failure without shrinking it.
EXAMPLES = settings(
    max_examples=15,
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def narrowed() -> dict[str, Any]:
    """The control API's part of the document, with known and unknown names as parameters."""
    document = deepcopy(openapi())
    paths = document["paths"]
    document["paths"] = {path: paths[path] for path in paths if path.startswith("/control")}
    parameters, schemas = document["components"]["parameters"], document["components"]["schemas"]
    parameters["Model"]["schema"] = {"enum": ["linear", "other"]}
    parameters["Rollout"]["schema"] = {"enum": ["linear-20261122-152000-3f9a", "other"]}
    schemas["RolloutRequest"]["properties"]["candidate"] = {"enum": ["light", "other"]}
    return document


def operations() -> Iterator[Any]:
    """Return all operations of the document."""
    for found in schemathesis.openapi.from_dict(narrowed()).get_all_operations():
        yield found.ok()  # type: ignore[union-attr]


OPERATIONS = {f"{operation.method} {operation.path}": operation for operation in operations()}


@pytest.fixture(scope="module")
def endpoint(module_repository: Path) -> Iterator[Endpoint]:
    settings = Settings(control_writes_per_s=1e6, feedback_per_s=1e6)
    with Endpoint(repository=module_repository, settings=settings) as endpoint:
        yield endpoint


@pytest.mark.parametrize("name", OPERATIONS)
def test_answers_as_documented(endpoint: Endpoint, name: str) -> None:
    """Valid and invalid requests to each operation are answered as documented, without a 5xx."""
    operation = OPERATIONS[name]
    wrong = operation.body or list(operation.iter_parameters())
    with requests.Session() as session:
        for mode in GenerationMode if wrong else [GenerationMode.POSITIVE]:

            @EXAMPLES
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                endpoint.control.forget()
                answer = case.call(base_url=endpoint.url, session=session)
                assert answer.status_code < 500, answer.text
                case.validate_response(answer, checks=CHECKED)

            ask()
