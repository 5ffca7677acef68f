"""Stores for tests: a file, or a PostgreSQL that the test starts and stops; and steps to write to them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from serve.base.routing import Routes
from serve.rollout.advance import advance
from serve.rollout.judging.judge import judge
from serve.rollout.state.rollout import Rollout
from serve.rollout.store.store import Store
from serve.rollout.trail.seal_key import SealKey
from serve.rollout.trail.trail import METHOD, Action, Change, Entry, Judged, seal
from tests.serve.rollout.rollouts import begun, proven


def postgres_folder() -> Path | None:
    """Return the folder of PostgreSQL's programs, which Debian keeps off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """Start a PostgreSQL server in a temporary folder, as an ordinary user. Returns its URL without a
    database."""
    # PostgreSQL refuses to run as root.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    who: Mapping[str, Any] = (
        {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        data, port = f"{folder}/data", _free_port()
        make = f"{programs}/initdb -D {data} -U ann -A trust -E UTF8 --locale=C -N".split()
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **who)
        options = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off")
        start = [f"{programs}/postgres", "-D", data, *(word for option in options for word in ("-c", option))]
        log = Path(folder, "log")
        with log.open("wb") as output:
            server = subprocess.Popen(start, cwd=folder, stdout=output, stderr=output, **who)
        url = f"postgresql://ann@127.0.0.1:{port}"
        try:
            _await(server, url, log)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def _await(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None and time.monotonic() < until, log.read_text()  # noqa: PT018
            time.sleep(0.05)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def routes_of(rollout: Rollout, revision: int) -> Routes:
    """Return the routes of a rollout."""
    plan, share = rollout.plan, rollout.shadow_share
    return Routes(
        model=plan.model,
        baseline=plan.baseline,
        weights=rollout.weights,
        shadows={plan.candidate: share} if share else {},
        revision=revision,
    )


def started(name: str = "r1", at_s: float = 0.0, revision: int = 1) -> Change:
    """The start of a rollout of digits."""
    rollout = begun().model_copy(update={"rollout": name, "started_s": at_s, "entered_s": at_s})
    routes = routes_of(rollout, revision)
    return Change(model="digits", action=Action.START, by="ann", at_s=at_s, rollout=rollout, routes=routes)


def judged(before: Rollout, at_s: float, revision: int) -> Change:
    """The verdict on `before` with enough evidence for one step further, and what follows from it."""
    evidence = proven()
    # The segments lie in the first minute of the rollout.
    minute = {"started_s": before.started_s, "ended_s": before.started_s + 60}
    segments = tuple(segment.model_copy(update=minute) for segment in evidence.segments)
    evidence = evidence.model_copy(update={"segments": segments})
    verdict = judge(before, evidence, at_s)
    after = advance(before, verdict, at_s)
    moved = (after.weights, after.shadow_share) != (before.weights, before.shadow_share)
    return Change(
        model="digits",
        action=Action.VERDICT,
        by="judge",
        at_s=at_s,
        rollout=after,
        routes=routes_of(after, revision) if moved else None,
        judged=Judged(evidence=evidence, verdict=verdict, method=METHOD),
    )


def go_on(store: Store, at_s: float) -> int:
    """Write the next step: the start of a rollout or its next verdict. Returns the entry's number."""
    present = store.read("digits")
    revision = present.routes.revision + 1 if present.routes else 1
    before = present.rollout
    if before is None or before.phase.over:
        change = started(f"r{present.number + 1}", at_s, revision)
    else:
        change = judged(before, at_s, revision)
    return store.append(change, present.number).number


def sealed(*changes: Change, key: SealKey | None = None) -> tuple[Entry, ...]:
    """These changes as a trail."""
    trail: list[Entry] = []
    for number, change in enumerate(changes, 1):
        trail.append(seal(change, number, trail[-1].digest if trail else "", key))
    return tuple(trail)
