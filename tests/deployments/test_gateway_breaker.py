"""A gateway's own circuit breaker for a candidate."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from serve.counting.breaker import RUN
from tests.conftest import make_bundle
from tests.deployments.test_gateway import BODY, play, running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.gateway.close_doors", lambda: None)
    monkeypatch.setattr("deployments.gateway._SYNC_EVERY_S", 0.01)


def test_a_candidate_that_fails_totally_is_stopped_while_the_keeper_is_away(repository: Path) -> None:
    """A candidate that answers NaN loses its traffic without the keeper, which gets a report afterwards."""

    async def scenario() -> tuple[Any, ...]:
        make_bundle(repository, "light", scale=math.nan)
        async with running(repository) as (sync, client, _, _):
            await sync.lose()
            url = "/v2/models/linear/infer"
            answers = [(await client.post(url, json=BODY)).json() for _ in range(RUN + 1)]
            sync.error = None
            while not sync.reports[-1].trips:
                await asyncio.sleep(0.01)
            marks = ["parameters" in answer for answer in answers]
            return marks, {answer["model_version"] for answer in answers}, sync.reports[-1].trips

    marks, variants, trips = play(scenario())
    assert (marks, variants) == ([True] * RUN + [False], {"base"})
    assert trips["linear"].rollout == "r1"
