"""Our open-loop load with Locust's own command and web page, for as long as you like:

locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 --model digits --rate 200

Add --headless -t 60s to do without the page, and --processes 2, or --master and on other machines --worker,
for more than one process can send. Locust's number of users says nothing here: the rate does."""

from typing import Any

from gevent import GreenletExit
from locust import events
from locust.env import Environment

from loadtests.sending.user import InferUser
from loadtests.swarm.nodes import join_swarm
from loadtests.swarm.options import add_options


class Infer(InferUser):
    """One in each process."""

    # One in all would leave the other workers without any.
    fixed_count = 0

    def on_start(self) -> None:
        """Nothing is to be sent when what was asked for cannot be done."""
        if not hasattr(self, "load"):
            # StopUser would be logged as if it were a fault.
            raise GreenletExit


def _join(environment: Environment, **_: Any) -> None:
    join_swarm(environment, Infer)


# Our options stand on the command line and in the form of the page.
events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(_join)
