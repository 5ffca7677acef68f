"""Measure the CPU time and memory of the server's processes, and derive their roles from their titles."""

import re
import threading
from collections import defaultdict
from collections.abc import Mapping

import psutil

from deployments.processes import descendants
from serve.counting.usage import PartUsage, ProcessRole, Usage
from serve.engine.catalog import Catalog

# More frequent calls get the same reading, because one takes about 6 ms of CPU time.
_EVERY_S = 0.25
_OURS = re.compile(r"ServeReplica:counterweight:(gateway|keeper)")
# A version of a variant, such as ServeReplica:digits.slim-int8.0123456789ab:variant.
_APART = re.compile(r"ServeReplica:(.+)\.[0-9a-f]{12}:variant")
# `model.variant` -> (model, variant), because either name may contain dots.
Known = Mapping[str, tuple[str, str]]


class Meter:
    """Reads the process `server` and all its descendants on request, so that it costs nothing otherwise. The
    usage between the last reading of a process and its end is lost."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._reading = threading.Lock()
        self._last: Usage | None = None
        # The CPU time of each process at the last reading, and the total of each role.
        self._spent: dict[psutil.Process, float] = {}
        self._cpu_s: defaultdict[ProcessRole, float] = defaultdict(float)

    def read(self, catalog: Catalog, now_s: float) -> Usage:
        """The usage at `now_s`, or up to a quarter of a second before; can be called from any thread."""
        with self._reading:
            if self._last is None or not 0 <= now_s - self._last.read_s < _EVERY_S:
                self._last = self._read(_known(catalog), now_s)
            return self._last

    def _read(self, known: Known, now_s: float) -> Usage:
        before, self._spent = self._spent, {}
        resident_bytes: defaultdict[ProcessRole, int] = defaultdict(int)
        for process, part, cpu_s, bytes_ in read_processes(self._server, known):
            # Differences are added, because a Ray worker gets its title, and thereby its role, only later.
            self._cpu_s[part] += max(cpu_s - before.get(process, 0.0), 0.0)
            self._spent[process] = cpu_s
            resident_bytes[part] += bytes_
        parts = tuple(
            PartUsage(part=part, cpu_s=cpu_s, resident_bytes=resident_bytes[part])
            for part, cpu_s in self._cpu_s.items()
        )
        return Usage(read_s=now_s, parts=parts)


def _known(catalog: Catalog) -> Known:
    versions = [(model.name, variant) for model in catalog.models.values() for variant in model.variants]
    return {".".join(version): version for version in versions}


def read_processes(server: int, known: Known) -> list[tuple[psutil.Process, ProcessRole, float, int]]:
    """The process `server` and all its descendants: role, CPU seconds and resident bytes."""
    processes = []
    for process in [psutil.Process(server), *descendants(server)]:
        try:
            with process.oneshot():
                part = _part_of(" ".join(process.cmdline()), known)
                times, memory = process.cpu_times(), process.memory_info()
        except psutil.NoSuchProcess:
            continue
        processes.append((process, part, times.user + times.system, memory.rss))
    return processes


def _part_of(title: str, known: Known) -> ProcessRole:
    if ours := _OURS.search(title):
        return ProcessRole("gateway" if ours[1] == "gateway" else "keeper")
    if apart := _APART.search(title):
        model, _, variant = apart[1].partition(".")
        return ProcessRole("variant", *known.get(apart[1], (model, variant)))
    return ProcessRole("ray")
