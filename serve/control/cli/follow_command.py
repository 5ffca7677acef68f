"""Watch a rollout until it is over."""

import time

from serve.base.errors import ServerFailed
from serve.control.cli.control_client import ControlClient
from serve.control.cli.terminal import Screen
from serve.control.operations import VIEW
from serve.rollout.api_records import RolloutView

_PAUSE_S = 1.0
# How long to wait for a server that is restarted.
_PATIENCE_S = 60.0


def follow(client: ControlClient, view: RolloutView, screen: Screen) -> RolloutView:
    """Show `view` and its changes; returns the last view, when the rollout is over.

    Raises Refused, and ServerFailed if the server does not come back."""
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
