import json
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from loadtests.sending.client import Client
from loadtests.sending.model_metadata import read_metadata
from tests.loadtests.known_server import MODEL, Behaviour, open_known


def _ask(url: str, variant: str) -> int:
    """Return the status."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("POST", f"/v2/models/{MODEL}/versions/{variant}/infer", json.dumps({"id": "7"}))
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def _ask_at_once(url: str, variant: str) -> float:
    """Seconds until 20 requests are answered."""
    began = time.perf_counter()
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: _ask(url, variant), range(20)))
    return time.perf_counter() - began


def test_one_worker_never_answers_faster_than_it_can() -> None:
    """20 requests at once take at least 0.5 s at 40/s; in parallel they take from 2 to 20 s."""
    with open_known(queue=Behaviour(per_s=40), parallel=Behaviour(service_ms=2000)) as url:
        assert _ask_at_once(url, "queue") >= 0.5
        assert 2 <= _ask_at_once(url, "parallel") < 20


def test_it_tells_its_metadata_and_its_cpu() -> None:
    """The test server reports metadata and CPU time as our server does."""
    with open_known(a=Behaviour(cpu_ms=2), b=Behaviour()) as url:
        assert read_metadata(Client(url=url), MODEL).versions == ("a", "b")
        assert _ask(url, "a") == 200
        metrics = Client(url=url).text("/metrics")
    assert f'counterweight_run_cpu_seconds_total{{model="{MODEL}",variant="a"}} 0.002\n' in metrics
    assert 'counterweight_process_cpu_seconds_total{part="gateway"} 0.001\n' in metrics


def test_it_dies_when_told() -> None:
    """The server ends at the request that is set."""
    with open_known(a=Behaviour(dies_at=2)) as url:
        assert _ask(url, "a") == 200
        with pytest.raises(ConnectionError):
            _ask(url, "a")
