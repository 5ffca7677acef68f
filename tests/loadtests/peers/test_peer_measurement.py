import sys
from dataclasses import replace
from pathlib import Path

from loadtests.peers.answer_parity import Onnxruntime
from loadtests.peers.peer_measurement import BenchRound, Race
from loadtests.peers.peer_servers import Server
from loadtests.peers.workload import Workload

# Answers the 24 rows of the check correctly, and dies at the next one.
_FRAIL = """
import http.server, json, os, sys
answered = []
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass
    def do_GET(self):
        self.say({})
    def do_POST(self):
        row = json.loads(self.rfile.read(int(self.headers["content-length"])))["inputs"][0]
        answered.append(row)
        if len(answered) > 24:
            os._exit(9)
        data = [2 * element for element in row["data"]]
        self.say({"outputs": [{"name": "y", "shape": row["shape"], "data": data}]})
    def say(self, answer):
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_dies_under_load_is_left_out(
    peer: Server, workload: Workload, truth: Onnxruntime, wrk: None, tmp_path: Path
) -> None:
    """A server that ends under load is reported and left out, and the others are measured."""
    (tmp_path / "frail.py").write_text(_FRAIL)
    frail = replace(
        peer, name="frail", command=lambda programs: [sys.executable, str(tmp_path / "frail.py"), "{port}"]
    )
    part = BenchRound(name="short", workload=workload, servers=[frail, peer], connections=(2,))
    report = Race(part, truth, tmp_path).run(rounds=2, seconds=0.3)
    assert [entry.failure for entry in report.servers] == ["frail ended with 9:\n", None]
    assert [row.server for row in report.figures] == ["fastapi"]


def test_all_servers_get_the_same_steady_rate(
    peer: Server, workload: Workload, truth: Onnxruntime, wrk: None, tmp_path: Path
) -> None:
    """All servers get half of one thread's rate, for four times the duration of a closed run."""
    part = BenchRound(
        name="short",
        workload=workload,
        servers=[peer, replace(peer, name="twin")],
        connections=(1,),
        steady=True,
    )
    race = Race(part, truth, tmp_path)
    # A real measurement would count many thousands a second here.
    race._truth = _Slow(truth)
    report = race.run(rounds=1, seconds=0.5)
    steady = [row for row in report.figures if row.rate_per_s is not None]
    assert [(row.server, row.rate_per_s) for row in steady] == [("fastapi", 25.0), ("twin", 25.0)]
    # wrk ends a little after the two seconds of the plan.
    assert all(50 <= row.requests <= 56 for row in steady)


class _Slow(Onnxruntime):
    """The same right answers, 20 ms each."""

    def __init__(self, truth: Onnxruntime) -> None:
        self.rows, self.answers = truth.rows, truth.answers

    def cpu_ms(self, seconds: float) -> float:
        return 20.0
