"""A keeper that writes step after step until it is killed, and prints each number that it has written."""

import itertools
import os
import signal
import sys

from serve.rollout.store import store as stores
from serve.rollout.store.store import Store
from tests.serve.rollout.stores import go_on


def write(url: str, steps: int) -> None:
    """Write `steps` steps, each a minute after the one before, so that each verdict goes one step further.

    Then the process kills itself in the middle of the next step."""
    store = Store(url, "writer")
    # The lease of the killed writer has expired by now.
    began_s = store.lease().until_s + 1
    assert store.renew(began_s)
    for tick in itertools.count(1):
        if tick > steps:
            stores._replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        print(go_on(store, began_s + 61 * tick), flush=True)


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
