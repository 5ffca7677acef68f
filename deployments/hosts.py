"""Hosts: bring versions of variants up where the plan places them, each tried out before it gets traffic."""

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import ray
from ray import serve as ray_serve
from ray.exceptions import RayError

from deployments.server_plan import ServerPlan
from deployments.variant_replica import host_of
from serve.base.errors import CounterweightError, InvalidBundle
from serve.bundles.bundle import MANIFEST, Bundle, read_file
from serve.bundles.repository import StoredModel
from serve.engine.catalog import LoadedModel, LoadedVariant
from serve.engine.session import open_session
from serve.engine.shapes import Shape, Shapes, shapes_path, write_shapes

_TRIAL_TIMEOUT_S = 120
# Sessions are made two at a time: more would only share the cores and the memory.
_AT_ONCE = 2
# What a call to a replica costs both ends, in CPU time, beside the run.
_CALL_MS = 2.0
_log = logging.getLogger("counterweight.keeper")


class Hosts:
    """Copies of the bundles that are served, and a Ray application for each that is placed apart."""

    def __init__(self, plan: ServerPlan, scratch: Path) -> None:
        """Copies go to `scratch`, so that a replica that is made anew is what it was before."""
        self._plan = plan
        self._copies = scratch / "bundles"
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # By model, those that runs have had, in a file for whoever runs it next.
        self._shapes: defaultdict[str, Shapes] = defaultdict(Shapes)

    async def bring_up(
        self, stored: StoredModel, wanted: Iterable[str], current: LoadedModel | None
    ) -> tuple[dict[str, LoadedVariant], dict[str, str]]:
        """The wanted variants that run now, and by `model/variant` why the others do not. One whose version
        is loaded already stays as it is."""
        loaded: dict[str, LoadedVariant] = {}
        failures: dict[str, str] = {}

        async def bring(name: str) -> None:
            bundle = stored.bundles[name]
            known = None if current is None else current.variants.get(name)
            try:
                async with self._turn:
                    if known is not None and known.digest == bundle.digest:
                        loaded[name] = known
                        # It is served as it was, and its owner hears that it could not be again.
                        await asyncio.to_thread(_verify, stored.folder / name, bundle)
                    else:
                        loaded[name] = await self._bring_up(stored.folder / name, bundle)
            except CounterweightError as error:
                failures[f"{stored.name}/{name}"] = str(error)

        await asyncio.gather(*map(bring, wanted))
        return loaded, failures

    def hear_shapes(self, told: Mapping[str, Sequence[Shape]]) -> None:
        """By model, shapes that a gateway has seen: every host warms itself with them."""
        for model, shapes in told.items():
            news = [self._shapes[model].see(shape) for shape in shapes]
            if any(news):
                try:
                    write_shapes(shapes_path(self._copies / "any", model), self._shapes[model])
                except OSError as error:
                    _log.warning("hosts of %s are not warmed with new shapes: %s", model, error)

    async def remove(self, versions: Iterable[LoadedVariant]) -> None:
        """End the hosts of these versions, which get no more traffic, and forget their bundles."""
        for version in versions:
            if version.host is not None:
                await asyncio.to_thread(ray_serve.delete, version.host)
            shutil.rmtree(version.folder, ignore_errors=True)

    async def _bring_up(self, folder: Path, bundle: Bundle) -> LoadedVariant:
        copy = self._copies / f"{bundle.model}.{bundle.variant}.{bundle.digest[:12]}"
        try:
            await asyncio.to_thread(_copy, folder, bundle, copy)
            await self._try_out(copy)
            apart = self._plan.placement_of(bundle.model) == "apart"
            version = LoadedVariant(
                digest=bundle.digest,
                folder=str(copy),
                host=copy.name if apart else None,
                full_rows=bundle.full_rows(_CALL_MS if apart else 0.0),
                unproven=bundle.unproven,
            )
            if apart:
                await self._start(version)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        return version

    async def _try_out(self, copy: Path) -> None:
        """Load the bundle in a process that may die of it. Raises InvalidBundle."""
        trial = _open.remote(str(copy), self._plan.settings.threads)
        try:
            async with asyncio.timeout(_TRIAL_TIMEOUT_S):
                await trial
        except CounterweightError as error:
            raise InvalidBundle(str(getattr(error, "cause", error))) from None
        except TimeoutError:
            ray.cancel(trial, force=True)
            raise InvalidBundle(
                f"it was not loaded and warm within {_TRIAL_TIMEOUT_S} s; export it again"
            ) from None
        except RayError as error:
            raise InvalidBundle(
                f"the process that loaded it died ({type(error).__name__}); export it again"
            ) from None

    async def _start(self, version: LoadedVariant) -> None:
        assert version.host is not None, "it is placed apart"
        application = host_of(version, self._plan.settings, self._plan.replicas)
        try:
            await asyncio.to_thread(
                ray_serve.run,
                application,
                name=version.host,
                route_prefix=None,
                # Ray words a line of log for every call, and only then leaves it out.
                logging_config={"enable_access_log": False, "log_level": "WARNING"},
            )
        except (RuntimeError, RayError) as error:
            await asyncio.to_thread(ray_serve.delete, version.host)
            raise InvalidBundle(f"no replica of it came up: {error}") from None


@ray.remote(num_cpus=0, max_retries=0)
def _open(folder: str, threads: int) -> None:
    open_session(Path(folder), threads=threads)


def _copy(folder: Path, bundle: Bundle, copy: Path) -> None:
    """The bundle's files as they are now; copies and no links, so that what somebody writes over in place
    does not change under a server. Raises InvalidBundle when one is not what the manifest says."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    shutil.copyfile(folder / MANIFEST, copy / MANIFEST)
    for file in bundle.files:
        (copy / file.path).write_bytes(read_file(folder, bundle, file.path))


def _verify(folder: Path, bundle: Bundle) -> None:
    for file in bundle.files:
        read_file(folder, bundle, file.path)
