"""Find free ports on this machine, and check that a port is free."""

import contextlib
import random
import socket

from serve.base.errors import ServerFailed

_PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Different ports on which no program is listening.

    They are below the range of outgoing connections (Ray opens many), so that a free port is still free when
    its server starts. Raises ServerFailed."""
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(ports) == count:
            break
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            ports.append(port)
    if len(ports) < count:
        raise ServerFailed(
            f"fewer than {count} of the ports {_PORTS.start} to {_PORTS.stop - 1} are free; stop some servers"
        )
    return ports


def require_free(host: str, port: int, option: str) -> None:
    """Raise ServerFailed if the port is in use, before anything is started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a closing connection does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerFailed(
                f"cannot listen on {host}:{port}: {error.strerror}; give another {option}"
            ) from None
