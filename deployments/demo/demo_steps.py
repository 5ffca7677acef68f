"""Trains, exports, serves, loads and rolls out, each with the command that a person would type."""

import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from deployments.demo.bad_candidate import plant
from deployments.demo.rollout_story import RolloutStory, read_story
from deployments.demo.shell import Child, Shell, end
from deployments.demo.summary import BAD, BEST, MODEL, Summary, summarize
from deployments.ports import free_ports
from deployments.processes import stop_if_signalled
from serve.base.errors import ServerFailed
from serve.bundles.repository import read_model
from serve.control.cli.control_client import ControlClient
from serve.control.operations import ROLLOUTS, VIEW

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "demo"
# The served folder: the four variants and the bad candidate, which must not be in `models/`.
_REPOSITORY = "build/demo/models"
_POLICY = "deployments/demo/policy.yaml"
# Two cores can send both on time. At the first rate, three of four requests are for a lighter variant.
_COMPARE_PER_S = 140
_COMPARE_S = 20
_RATE_PER_S = 60
# The load is ended when both rollouts are over, at the latest after this time.
_LONGEST_S = 900
_START_TIMEOUT_S = 300


def make_model(shell: Shell) -> None:
    """Train the network and export its variants to `models/`."""
    shell.say("1/5  train a ResNet on handwritten digits of 32 by 32 pixels")
    shell.run("python", "-m", "export.recipes.digits_demo")
    shell.say("2/5  export four variants of it, each with its proof")
    shell.run("counterweight", "export", "export/recipes/digits_demo.yaml")


@contextmanager
def served(shell: Shell, port: int, *, keep: bool) -> Iterator[int]:
    """Start the server and yield its process id once it is ready. Stop it at the end unless `keep`."""
    shell.say(
        "3/5  serve them behind one endpoint, together with a bad candidate, whose classes are mixed up"
    )
    OUT.mkdir(parents=True, exist_ok=True)
    _fill_repository()
    for old in OUT.glob("rollouts.*"):
        old.unlink()
    ports = ("--port", str(port), "--grpc-port", str(free_ports(1)[0]))
    # A separate store: the demo must not read or change the rollouts of models/.
    store = ("--store", f"sqlite:///{OUT.resolve()}/rollouts.db")
    server = shell.launch(
        OUT / "server.log",
        "counterweight",
        "serve",
        _REPOSITORY,
        "--placement",
        "together",
        *ports,
        *store,
    )
    try:
        _wait_until_ready(server, port)
        yield server.pid
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            shell.say("     stop everything")
            end(server)


def compare(shell: Shell, url: str) -> dict[str, Any]:
    """Return the report of a load test in which each request names a random variant."""
    shell.say(f"4/5  ask the variants in turn for {_COMPARE_S} s, on a schedule")
    names = ",".join(read_model(ROOT / "models" / MODEL).servable)
    # Evenly spaced requests seldom wait for one another, so two cores can send them on time. If none of about
    # 500 requests fails, this shows that fewer than 2 % do.
    more = ("--duration", str(_COMPARE_S), "--arrivals", "constant", "--pin", names, "--set", "errors=0.02")
    # Exit codes 1 (a request failed) and 3 (the machine was too busy) are results, which the summary reports.
    shell.run(*_load_words(url, "variants", _COMPARE_PER_S), *more, accepted=(0, 1, 3))
    return _read_report("variants")


def roll_out(shell: Shell, url: str) -> tuple[tuple[RolloutStory, ...], dict[str, Any]]:
    """Roll out the best variant, and then the bad candidate, while requests arrive. Returns the course of
    both rollouts and the report of the load. Raises ServerFailed if the load ends too early."""
    shell.say(f"5/5  two rollouts, while {_RATE_PER_S} requests arrive per second")
    words = (*_load_words(url, "traffic", _RATE_PER_S), "--duration", str(_LONGEST_S))
    with shell.beside(OUT / "traffic.log", *words) as load:
        good = _roll_out_to(shell, url, BEST)
        if good.phase == "DONE":
            shell.run("counterweight", "rollout", "accept", MODEL, "--url", url)
        bad = _roll_out_to(shell, url, BAD)
        if load.poll() is not None:
            last = (OUT / "traffic.log").read_text(errors="replace")[-2000:]
            raise ServerFailed(
                f"the load ended before the rollouts; build/demo/traffic.log ends with:\n{last}"
            )
    return (good, bad), _read_report("traffic")


def build_summary(
    variants: dict[str, Any], traffic: dict[str, Any], stories: tuple[RolloutStory, ...], took_s: float
) -> Summary:
    """Return the summary of the run."""
    return summarize(read_model(ROOT / "models" / MODEL), variants, traffic, stories, took_s)


def _fill_repository() -> None:
    """Copy the bundles of `models/` and write the bad candidate beside them."""
    target = ROOT / _REPOSITORY
    shutil.rmtree(target, ignore_errors=True)
    source = ROOT / "models" / MODEL
    for name in read_model(source).servable:
        shutil.copytree(source / name, target / MODEL / name)
    plant(target / MODEL / BEST, BAD)


def _roll_out_to(shell: Shell, url: str, candidate: str) -> RolloutStory:
    start = ("counterweight", "rollout", "start", MODEL, "--url", url)
    # Exit code 1 means that the rollout was rolled back, or ended without a decision.
    shell.run(*start, "--to", candidate, "--policy", _POLICY, "--watch", accepted=(0, 1))
    client = ControlClient(url)
    newest, *_ = client.ask(ROLLOUTS, MODEL)
    return read_story(client.ask(VIEW, newest.rollout), client.trail(MODEL))


def _load_words(url: str, name: str, rate_per_s: int) -> tuple[str, ...]:
    what = ("--model", MODEL, "--rate", str(rate_per_s), "--binary")
    files = ("--inputs", f"build/{MODEL}/inputs.npz", "--json", f"build/demo/{name}.json")
    return ("counterweight", "loadtest", "run", url, *what, *files)


def _read_report(name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((OUT / f"{name}.json").read_text())
    return report


def _wait_until_ready(server: Child, port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with tqdm(
        desc="waiting until it is ready", bar_format="{desc} {elapsed}", leave=False, disable=None
    ) as clock:
        while time.monotonic() < deadline and server.poll() is None:
            stop_if_signalled()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                    return
            except OSError:
                clock.refresh()
                time.sleep(0.25)
    last = (OUT / "server.log").read_text(errors="replace")[-2000:]
    raise ServerFailed(f"the server was not ready within {_START_TIMEOUT_S} s; its log ends with:\n{last}")
