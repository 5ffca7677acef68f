"""Server: Ray and Ray Serve on this machine, started for one repository and stopped without a trace."""

import logging
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.environment import set_ray_environment
from deployments.plan import Plan
from deployments.processes import adopt_orphans, descendants, stop, stop_if_asked, stop_on_signals
from serve.errors import ServerFailed
from serve.settings import Settings

_OBJECT_STORE_BYTES = 80 * 2**20
# The path of a socket ends at 97 characters in HAProxy, of which Ray's names below take 81.
_LONGEST_PARENT = 16


@contextmanager
def running(plan: Plan) -> Iterator[None]:
    """Serve the plan while the context lasts. Raises ServerFailed when it cannot."""
    require_free(plan.host, plan.port)
    adopt_orphans()
    scratch = _make_scratch()
    set_ray_environment(scratch)
    try:
        _start(plan, scratch)
        stop_if_asked()
        yield
    finally:
        _stop()
        shutil.rmtree(scratch, ignore_errors=True)


def require_free(host: str, port: int) -> None:
    """Raise ServerFailed when somebody listens there, before anything is started."""
    with socket.socket() as probe:
        # As servers do: a connection that is still closing does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerFailed(
                f"cannot listen on {host}:{port}: {error.strerror}; give another --port"
            ) from None


def _make_scratch() -> Path:
    """A new folder for the files of Ray and HAProxy."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST_PARENT:
        raise ServerFailed(
            f"the temporary folder {parent} has too long a name for Ray's sockets "
            f"(over {_LONGEST_PARENT} characters); start with TMPDIR=/tmp"
        )
    return Path(tempfile.mkdtemp(prefix="cw-", dir=parent))


def _start(plan: Plan, scratch: Path) -> None:
    # Not at the top: ray reads the environment, set just before, when it is imported.
    import ray
    from ray import serve as ray_serve

    from deployments.app import build

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray.init(
            address="local",
            # Ray starts an idle worker for each CPU it is told of; ours reserve none.
            num_cpus=1,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(scratch),
        )
        # Ray has put its own handler in the place of ours.
        stop_on_signals()
        stop_if_asked()
        ray_serve.start(http_options={"host": plan.host, "port": plan.port})
        stop_if_asked()
        ray_serve.run(
            build(plan, Settings()),
            name="counterweight",
            route_prefix="/",
            # A line of text for every request costs more than a small model does.
            logging_config={"enable_access_log": False},
        )
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise ServerFailed(f"Ray Serve could not start: {error}") from error


def _stop() -> None:
    # A second Ctrl-C must not cut this short and leave half of Ray behind.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    mine = descendants()
    ray = sys.modules.get("ray")
    # Ctrl-C may have come in the middle of its import.
    if ray is not None and hasattr(ray, "shutdown"):
        ray.shutdown()
    stop(mine, timeout_s=10)
    stop(descendants(), timeout_s=5)
