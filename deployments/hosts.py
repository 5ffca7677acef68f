"""Start versions of variants where the plan places them, and test each one before it gets traffic."""

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
from serve.bundles.bundle import MANIFEST, Bundle, verify_file
from serve.bundles.repository import StoredModel
from serve.engine.catalog import LoadedModel, LoadedVariant
from serve.engine.session import open_session
from serve.engine.shapes import Shape, Shapes, shapes_path, write_shapes

_TRIAL_TIMEOUT_S = 120
# Two at a time, because more would only compete for cores and memory.
_AT_ONCE = 2
# The CPU time of a call to a replica at both ends, in addition to the run.
_CALL_MS = 2.0
_log = logging.getLogger("counterweight.keeper")


class Hosts:
    """Copies of the served bundles, and a Ray application for each one that is placed apart."""

    def __init__(self, plan: ServerPlan, scratch: Path) -> None:
        """Copies are kept in `scratch`, so that a restarted replica loads the same bundle."""
        self._plan = plan
        self._copies = scratch / "bundles"
        self._turn = asyncio.Semaphore(_AT_ONCE)
        # By model, the shapes of runs, which are written to a file for later sessions.
        self._shapes: defaultdict[str, Shapes] = defaultdict(Shapes)

    async def bring_up(
        self, stored: StoredModel, requested: Iterable[str], current: LoadedModel | None
    ) -> tuple[dict[str, LoadedVariant], dict[str, str]]:
        """Start the wanted variants. Returns those that run, and `model/variant` -> the reason for the
        others. A version that is already loaded is kept."""
        loaded: dict[str, LoadedVariant] = {}
        failures: dict[str, str] = {}

        async def bring(name: str) -> None:
            bundle = stored.bundles[name]
            known = None if current is None else current.variants.get(name)
            try:
                async with self._turn:
                    if known is not None and known.digest == bundle.digest:
                        loaded[name] = known
                        # The loaded copy is still served, but its owner learns that the bundle is damaged.
                        await asyncio.to_thread(_verify, stored.folder / name, bundle)
                    else:
                        loaded[name] = await self._bring_up(stored.folder / name, bundle)
            except CounterweightError as error:
                failures[f"{stored.name}/{name}"] = str(error)

        await asyncio.gather(*map(bring, requested))
        return loaded, failures

    def store_shapes(self, reported: Mapping[str, Sequence[Shape]]) -> None:
        """Add shapes that a gateway has seen, by model; every host uses them to warm up."""
        for model, shapes in reported.items():
            news = [self._shapes[model].see(shape) for shape in shapes]
            if any(news):
                try:
                    write_shapes(shapes_path(self._copies / "any", model), self._shapes[model])
                except OSError as error:
                    _log.warning("new shapes of %s cannot be saved for warm-up: %s", model, error)

    async def remove(self, versions: Iterable[LoadedVariant]) -> None:
        """Stop the hosts of these versions, which get no more traffic, and delete their copies."""
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
                unproven=not bundle.proven,
            )
            if apart:
                await self._start(version)
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        return version

    async def _try_out(self, copy: Path) -> None:
        """Load the bundle in a separate process, which may crash. Raises InvalidBundle."""
        trial = _open.remote(str(copy), self._plan.settings.threads)
        try:
            async with asyncio.timeout(_TRIAL_TIMEOUT_S):
                await trial
        except CounterweightError as error:
            raise InvalidBundle(str(getattr(error, "cause", error))) from None
        except TimeoutError:
            ray.cancel(trial, force=True)
            raise InvalidBundle(
                f"loading and warm-up took over {_TRIAL_TIMEOUT_S} s; export it again"
            ) from None
        except RayError as error:
            raise InvalidBundle(
                f"the process that loaded it crashed ({type(error).__name__}); export it again"
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
                # Without this, Ray formats a log line for every call, even if it is not written.
                logging_config={"enable_access_log": False, "log_level": "WARNING"},
            )
        except (RuntimeError, RayError) as error:
            await asyncio.to_thread(ray_serve.delete, version.host)
            raise InvalidBundle(f"no replica could be started: {error}") from None


@ray.remote(num_cpus=0, max_retries=0)
def _open(folder: str, threads: int) -> None:
    open_session(Path(folder), threads=threads)


def _copy(folder: Path, bundle: Bundle, copy: Path) -> None:
    """Copy the files of the bundle. No links, so that later changes of the files do not affect the server.
    Raises InvalidBundle if a file differs from the manifest."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    shutil.copyfile(folder / MANIFEST, copy / MANIFEST)
    for file in bundle.files:
        shutil.copyfile(verify_file(folder, bundle, file.path), copy / file.path)


def _verify(folder: Path, bundle: Bundle) -> None:
    for file in bundle.files:
        verify_file(folder, bundle, file.path)
