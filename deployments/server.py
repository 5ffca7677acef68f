"""Start Ray and Ray Serve on this machine for one repository, and stop them without leftovers."""

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.gateway_reports import journals_of
from deployments.ports import require_free
from deployments.processes import adopt_orphans, descendants, stop, stop_if_signalled, stop_on_signals
from deployments.ray_settings import set_ray_environment
from deployments.server_plan import ServerPlan
from serve.base.errors import ServerFailed
from serve.counting.journal import clear, lock_folder

_OBJECT_STORE_BYTES = 80 * 2**20
_APPLICATION = "counterweight"
_ASK_TIMEOUT_S = 30
# Ray allows half a minute for a start, which can be too short on a busy machine.
_STARTS = 3
# The path of a socket is limited to 107 characters, of which Ray's names take about 80.
_LONGEST_PARENT = 16


@contextmanager
def running(plan: ServerPlan) -> Iterator[Path]:
    """Serve the plan while the context lasts; yields the folder of the logs. Raises ServerFailed if it cannot
    start."""
    require_free(plan.host, plan.port, "--port")
    require_free(plan.host, plan.grpc_port, "--grpc-port")
    adopt_orphans()
    scratch = _make_scratch()
    journals = journals_of(plan.store, scratch)
    set_ray_environment()
    standing = _stand(journals)
    try:
        _start(plan, scratch)
        stop_if_signalled()
        yield scratch / "session_latest" / "logs" / "serve"
    finally:
        if standing is not None:
            os.close(standing)
        _stop()
        clear(journals)
        shutil.rmtree(scratch, ignore_errors=True)


def _make_scratch() -> Path:
    """Create a folder for the files of Ray and the copies of the served bundles."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST_PARENT:
        raise ServerFailed(
            f"the path of the temporary folder {parent} is too long for Ray's sockets "
            f"(over {_LONGEST_PARENT} characters); start with TMPDIR=/tmp"
        )
    return Path(tempfile.mkdtemp(prefix="cw-", dir=parent))


def _stand(journals: Path) -> int | None:
    try:
        return lock_folder(journals)
    except OSError as error:
        sys.stderr.write(f"unreported counts of a gateway will be lost if it dies: {error}\n")
        return None


def _start(plan: ServerPlan, scratch: Path) -> None:
    # Imported here, because ray reads the environment when it is imported.
    import ray
    from ray import serve as ray_serve

    from deployments.app import build

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        _start_ray(scratch)
        # Ray has replaced our signal handlers.
        stop_on_signals()
        stop_if_signalled()
        ray_serve.start(proxy_location="Disabled")
        stop_if_signalled()
        ray_serve.run(
            build(plan, str(scratch), os.getpid()),
            name=_APPLICATION,
            # The gateways listen themselves.
            route_prefix=None,
            # A log line per request costs more than a small model.
            logging_config={"enable_access_log": False},
        )
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise ServerFailed(f"Ray Serve could not start: {error}") from error
    _judge(plan)


def _start_ray(scratch: Path) -> None:
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(
                address="local",
                # Ray starts an idle worker for each CPU; our actors reserve none.
                num_cpus=1,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(scratch),
            )
        # Ray has no narrower error for a start that takes too long.
        except Exception as error:
            if not left:
                raise ServerFailed(
                    f"Ray could not start: {error}; if this machine is busy, try again later"
                ) from error
            # A partial start must not affect the next one.
            ray.shutdown()
            stop(descendants(), timeout_s=5)
            stop_if_signalled()
        else:
            return


def _judge(plan: ServerPlan) -> None:
    """Raise ServerFailed if a variant with traffic could not be loaded; report the other failures."""
    # Over HTTP, because a Ray handle needs an event loop, which a command does not have.
    url = f"{plan.local_url}/v2/repository/index"
    with urllib.request.urlopen(url, b"{}", _ASK_TIMEOUT_S) as answer:  # noqa: S310 - our own server
        entries = [entry for entry in json.load(answer) if entry["state"] != "READY"]
    reasons = {(entry["name"], entry["version"]): entry["reason"] for entry in entries}
    for model in plan.read():
        routes = plan.routes_of(model)
        for name in model.servable:
            if reason := reasons.get((model.name, name)):
                if name == model.baseline or routes.share(name):
                    raise ServerFailed(f"{model.name}/{name} cannot be served: {reason}")
                sys.stderr.write(f"{model.name}/{name} is not served: {reason}\n")


def _stop() -> None:
    # A second Ctrl-C must not interrupt this and leave parts of Ray behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    children = descendants()
    ray = sys.modules.get("ray")
    # Ctrl-C may have interrupted its import.
    if ray is not None and hasattr(ray, "shutdown"):
        ray.shutdown()
    stop(children, timeout_s=10)
    stop(descendants(), timeout_s=5)
