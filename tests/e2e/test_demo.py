import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("serve", "export", "deployments", "loadtests")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that the demo writes nothing into ours."""
    folder = tmp_path_factory.mktemp("checkout")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "counterweight.py", folder)
    # A sixteenth of the network and a quarter of the load suffice for the assertions of this test.
    recipes = folder / "export" / "recipes"
    change(recipes / "digits_demo.py", "_WIDTHS = (64, 128, 256, 512)", "_WIDTHS = (16, 32, 64, 128)")
    change(recipes / "digits_demo.yaml", "widths: [64, 128, 256, 512]", "widths: [16, 32, 64, 128]")
    # A network this small loses more accuracy.
    change(
        recipes / "digits_demo.yaml",
        "accuracy_drop: 0.03, agreement: 0.93",
        "accuracy_drop: 0.2, agreement: 0.8",
    )
    # Threads would wait for one another while other tests run.
    change(recipes / "digits_demo.py", "_THREADS = 2", "_THREADS = 1")
    change(recipes / "digits_demo.yaml", "threads: 2", "threads: 1")
    demo = folder / "deployments" / "demo"
    change(demo / "demo_steps.py", "_COMPARE_S = 20\n", "_COMPARE_S = 5\n")
    # A network this small saves little beside the cost of the server around it.
    change(demo / "policy.yaml", "cheaper_by: 0.5 ", "cheaper_by: -2 ")
    change(demo / "policy.yaml", "watch_s: 10", "watch_s: 2")
    # The server turns no request away because the machine is busy.
    change(
        folder / "serve" / "base" / "settings.py",
        "max_queue_wait_s: Seconds = 1.0",
        "max_queue_wait_s: Seconds = 30",
    )
    change(
        folder / "serve" / "base" / "settings.py",
        "run_timeout_s: Seconds = 10\n",
        "run_timeout_s: Seconds = 30\n",
    )
    return folder


def change(file: Path, old: str, new: str) -> None:
    """Replace `old`, which occurs once in the file."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def start_demo(checkout: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "counterweight", "demo", *options],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(checkout: Path) -> list[psutil.Process]:
    """Every process that was started with the copy's path, the demo's orphans too."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PYTHONPATH") == str(checkout):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def interrupt_demo(checkout: Path, moment: str) -> None:
    """Press Ctrl-C some seconds into the part of the demo whose line begins so."""
    with start_demo(checkout) as demo:
        try:
            assert demo.stderr is not None
            while not demo.stderr.readline().startswith(moment):
                assert demo.poll() is None
            time.sleep(5)
            demo.send_signal(signal.SIGINT)
            demo.communicate(timeout=120)
            assert demo.returncode == 130
            assert processes_of(checkout) == []
        finally:
            for process in processes_of(checkout):
                process.kill()


def test_ctrl_c_during_the_export_leaves_nothing_half_written(checkout: Path) -> None:
    """Ctrl-C during the export leaves no process, and each bundle that exists is whole."""
    interrupt_demo(checkout, "2/5")
    made = (checkout / "models").glob("digits-demo/*")
    # Beside the bundles the folder has finished work for the next export, and the report.
    bundles = [path for path in made if path.name not in (".work", "report.html")]
    assert all((bundle / "bundle.json").exists() for bundle in bundles)
    assert not [bundle for bundle in bundles if bundle.name.startswith(".")]


def test_the_demo_runs_the_whole_chain(checkout: Path) -> None:
    """The demo exports four variants, promotes the best one and rolls the bad one back. `--keep` leaves a
    running endpoint."""
    with start_demo(checkout, "--keep", "--json") as demo:
        try:
            shown, said = demo.communicate(timeout=900)
            assert demo.returncode == 0, said
            summary = json.loads(shown)
            assert summary == json.loads((checkout / "build" / "demo" / "summary.json").read_text())
            rows = {row["variant"]: row for row in summary["variants"]}
            assert list(rows) == ["fp32", "int8", "slim", "slim-int8"]
            assert rows["slim"]["parameters"] < 0.3 * rows["fp32"]["parameters"]
            assert rows["slim-int8"]["model_size_bytes"] < 0.1 * rows["fp32"]["model_size_bytes"]
            # The floor allows 0.2 less than the baseline.
            assert all(row["accuracy"] >= rows["fp32"]["accuracy"] - 0.2 for row in rows.values())
            assert not any(row["errors"] for row in rows.values())
            assert all(row["requests"] > 0 for row in rows.values())
            good, bad = summary["rollouts"]
            assert (good["candidate"], good["phase"]) == ("slim-int8", "DONE")
            assert [move["share"] for move in good["moves"]][-1] == 1
            assert {move["verdict"] for move in good["moves"]} == {None, "PROMOTE"}
            # The first candidate was accepted, so it is the baseline of the bad one.
            assert (bad["baseline"], bad["phase"]) == ("slim-int8", "ROLLED_BACK")
            assert {move["share"] for move in bad["moves"]} == {0}
            assert bad["differed"] > 0
            assert (summary["errors"], summary["bad_answers"]) == (0, 0)
            for row in rows.values():
                cpu = row["cpu_per_request"]
                assert all(0 < cpu[part] < 100 for part in ("model_ms", "gateway_ms", "proxy_ms"))
            assert (checkout / "build" / "demo" / "report.html").read_text().count("<svg") == 5
            url = next(word for word in said.split() if word.endswith("/v2/models/digits-demo"))
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert set(json.load(answer)["versions"]) == {*rows, "mixed-up"}
            pid = int(said.rsplit("kill ", 1)[1])
            server = psutil.Process(pid)
            server.terminate()
            assert server.wait(60) in (0, None)
            assert processes_of(checkout) == []
        finally:
            for process in processes_of(checkout):
                process.kill()


def built(checkout: Path) -> dict[str, int]:
    """Return the time at which each bundle was written, in ns."""
    bundles = (checkout / "models" / "digits-demo").glob("*/bundle.json")
    return {bundle.parent.name: bundle.stat().st_mtime_ns for bundle in bundles}


def test_ctrl_c_during_a_rollout_leaves_nothing_running(checkout: Path) -> None:
    """Ctrl-C during a rollout ends all processes and leaves the bundles unchanged."""
    before = built(checkout)
    interrupt_demo(checkout, "5/5")
    assert list(before) != []
    assert built(checkout) == before
