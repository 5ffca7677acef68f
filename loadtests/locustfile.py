"""Runs our open-loop load with Locust's own command and web page, without a time limit:

locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --model digits --rate 200

Add --headless -t 60s to run without the page. To send from several processes, add --processes 2, or --master
and, on other machines, --worker. Locust's number of users has no effect: --rate sets the load."""

from typing import Any

from gevent import GreenletExit
from locust import events
from locust.env import Environment

from loadtests.sending.user import InferUser
from loadtests.swarm.nodes import join_swarm
from loadtests.swarm.options import add_options


class Infer(InferUser):
    """The user that sends the load; each process has one."""

    # With a fixed count of one, the other workers would get no user.
    fixed_count = 0

    def on_start(self) -> None:
        """Stop the user if the requested load is not possible."""
        if not hasattr(self, "load"):
            # StopUser would be logged as an error.
            raise GreenletExit


def _join(environment: Environment, **_: Any) -> None:
    join_swarm(environment, Infer)


# Our options appear on the command line and in the web form.
events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(_join)
