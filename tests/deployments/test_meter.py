"""The CPU time and memory of processes, by their titles."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deployments.meter import Meter, read_processes
from serve.base.routing import Routes
from serve.counting.usage import ProcessRole, Usage
from serve.engine.catalog import Catalog, LoadedModel, LoadedVariant
from tests.conftest import SIGNATURE

# Spends the given seconds of CPU time and prints a line; when it reads a line, it restarts under that title.
WORK = """
import os, sys, time
code, title, cpu_s = sys.argv[1:]
while time.process_time() < float(cpu_s): pass
print(flush=True)
title = sys.stdin.readline().strip()
os.execv(sys.executable, [sys.executable, "-c", code, code, title, cpu_s])
"""


@contextmanager
def worker(title: str, cpu_s: float = 0) -> Iterator["subprocess.Popen[str]"]:
    """Start a child process with this title, which has used `cpu_s`."""
    command = [sys.executable, "-c", WORK, WORK, title, str(cpu_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            wait_for(child)
            yield child
        finally:
            child.kill()


def wait_for(child: "subprocess.Popen[str]") -> None:
    """Return once the process has used its CPU time."""
    assert child.stdout is not None
    child.stdout.readline()


def catalog(model: str, variant: str) -> Catalog:
    """Return a catalog with this variant alone."""
    version = LoadedVariant(digest="0" * 64, folder="/", host=None, full_rows=8)
    routes = Routes(model=model, baseline=variant, weights={variant: 1})
    loaded = LoadedModel(
        name=model, signature=SIGNATURE, task="classification", routes=routes, variants={variant: version}
    )
    return Catalog(revision=1, models={model: loaded})


def cpu_s(usage: Usage, part: ProcessRole) -> float:
    return sum(found.cpu_s for found in usage.parts if found.part == part)


@pytest.mark.parametrize(
    ("title", "part"),
    [
        ("ray::ServeReplica:counterweight:gateway", ProcessRole("gateway")),
        ("ray::ServeReplica:counterweight:keeper", ProcessRole("keeper")),
        (
            "ray::ServeReplica:digits.slim-int8.0123456789ab:variant",
            ProcessRole("variant", "digits", "slim-int8"),
        ),
        (
            "ray::ServeReplica:all.mini.v2.int8.0123456789ab:variant",
            ProcessRole("variant", "all.mini", "v2.int8"),
        ),
        ("ray::ServeController", ProcessRole("ray")),
    ],
)
def test_a_title_says_what_a_process_is_for(title: str, part: ProcessRole) -> None:
    """A process is assigned to its part by its title, even if names contain dots."""
    with worker(title) as child:
        known = {"all.mini.v2.int8": ("all.mini", "v2.int8")}
        [(process, found, _, resident_bytes)] = read_processes(child.pid, known)
    assert (process.pid, found) == (child.pid, part)
    assert resident_bytes > 2**20


def test_what_is_spent_shows() -> None:
    """Half a second of work counts for the variant whose process spent it, to 20 ms."""
    title = "ray::ServeReplica:a.b.c.0123456789ab:variant"
    with worker(title, cpu_s=0.5):
        usage = Meter(os.getpid()).read(catalog("a.b", "c"), 100.0)
    assert usage.read_s == 100.0
    assert 0.48 <= cpu_s(usage, ProcessRole("variant", "a.b", "c")) < 2


def test_what_a_process_spent_outlives_it() -> None:
    """The CPU time of a process stays after its end, and its memory does not."""
    meter, part = Meter(os.getpid()), ProcessRole("gateway")
    with worker("ray::ServeReplica:counterweight:gateway", cpu_s=0.1):
        before = meter.read(Catalog(), 100.0)
    after = meter.read(Catalog(), 101.0)
    assert cpu_s(after, part) == cpu_s(before, part) > 0
    assert [found.resident_bytes for found in after.parts if found.part == part] == [0]


def test_nothing_shrinks_when_a_process_gets_its_title() -> None:
    """The CPU time of an idle worker stays with Ray when it becomes a gateway."""
    with worker("ray::IDLE", cpu_s=0.3) as child:
        meter = Meter(child.pid)
        idle = meter.read(Catalog(), 100.0)
        assert child.stdin is not None
        child.stdin.write("ray::ServeReplica:counterweight:gateway\n")
        child.stdin.flush()
        wait_for(child)
        busy = meter.read(Catalog(), 101.0)
    assert cpu_s(busy, ProcessRole("ray")) == cpu_s(idle, ProcessRole("ray")) >= 0.28
    assert {found.part for found in busy.parts} == {ProcessRole("ray"), ProcessRole("gateway")}


def test_it_reads_at_most_four_times_a_second() -> None:
    """Frequent calls share a reading: there are at most four a second."""
    meter = Meter(os.getpid())
    first = meter.read(Catalog(), 100.0)
    assert meter.read(Catalog(), 100.2) is first
    assert meter.read(Catalog(), 100.25) is not first


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    """A reading dated in the future is replaced by a new one."""
    meter = Meter(os.getpid())
    assert meter.read(Catalog(), time.time() - 50).read_s < meter.read(Catalog(), time.time()).read_s
    assert meter.read(Catalog(), 100.0).read_s == 100.0
