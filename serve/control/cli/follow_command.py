"""Follow: watch a rollout until it is over."""

import time

from serve.base.errors import ServerFailed
from serve.control.cli.control_client import ControlClient
from serve.control.cli.terminal import Screen
from serve.control.operations import VIEW
from serve.rollout.api_records import RolloutView

_PAUSE_S = 1.0
# A server that is restarted is waited for so long.
_PATIENCE_S = 60.0


def follow(client: ControlClient, view: RolloutView, screen: Screen) -> RolloutView:
    """Show `view` and what becomes of it; the last one, which is over.

    Raises ServerFailed when the server does not come back, and Refused."""
    answered_s = time.monotonic()
    trouble = ""
    while True:
        screen.show(view, trouble)
        if view.rollout.phase.over:
            return view
        time.sleep(_PAUSE_S)
        try:
            view = client.ask(VIEW, view.rollout.rollout)
            answered_s, trouble = time.monotonic(), ""
        except ServerFailed as error:
            trouble = str(error)
            if time.monotonic() - answered_s > _PATIENCE_S:
                raise
