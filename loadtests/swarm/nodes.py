"""Coordinates one load among a local run, or a master and its workers.

The master numbers its n workers when a test starts, and each worker sends every n-th request. Workers send
their samples with their regular reports, and the remaining ones when the test stops."""

import logging
import signal
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.errors import LoadTestError
from loadtests.sending.measure import DRAIN_S
from loadtests.sending.user import InferUser
from loadtests.swarm.options import read_options
from loadtests.swarm.reporter import Reporter
from loadtests.swarm.sample_messages import pack, unpack
from loadtests.swarm.sender import Sender, SenderResult
from serve.base.errors import CounterweightError

# The maximum time for a worker to end and to send its remaining samples.
_LAST_WORD_S = DRAIN_S + 10


class OneEach(UsersDispatcher):  # type: ignore[misc]
    """Starts one user on every worker, whatever number of users was requested, because the rate sets the
    load."""

    def new_dispatch(self, target_user_count: int, spawn_rate: float, user_classes: Any = None) -> None:
        """Dispatch one user per worker for any target except 0."""
        workers = len(self._worker_nodes) if target_user_count else 0
        super().new_dispatch(workers, max(1, workers), user_classes)


class Node:
    """The common part of all nodes, which reads the options when a test starts."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.runner = environment.runner
        environment.dispatcher_class = OneEach

    @property
    def options(self) -> Namespace:
        """Return the options of the command line or of the web form."""
        options: Namespace = self.environment.parsed_options
        return options

    def open_reporter(self) -> Reporter | None:
        """Make the reporter; None if the requested load is not possible, in which case the test is
        stopped."""
        try:
            load_request = read_options(self.environment.host, self.options)
            return Reporter(load_request, Path(self.options.report) if self.options.report else None)
        except CounterweightError as error:
            logging.error("%s", error)
            self.environment.process_exit_code = error.exit_code
            gevent.spawn(self.runner.quit if self.options.headless else self.runner.stop)
            return None


class Local(Node):
    """Sends the load and makes the report."""

    def __init__(self, environment: Environment, user_class: type[InferUser]) -> None:
        super().__init__(environment)
        self._sender = Sender(user_class)
        self._reporter: Reporter | None = None
        environment.events.test_start.add_listener(self._start)
        environment.events.test_stopping.add_listener(self._stop)
        # After Ctrl-C, Locust reads the exit code before it stops the runner.
        environment.events.quitting.add_listener(self._stop)

    def _start(self, **_: Any) -> None:
        self._reporter = self.open_reporter()
        if self._reporter is not None:
            self._sender.prepare(self._reporter.asked, 0, 1)

    def _stop(self, **_: Any) -> None:
        reporter, self._reporter = self._reporter, None
        if reporter is not None:
            part = self._sender.finish()
            reporter.add(self._sender.take())
            self.environment.process_exit_code = reporter.end([part])


class Master(Node):
    """Distributes the load among the workers and makes the report."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._reporter: Reporter | None = None
        # The result of each worker; None until it has reported.
        self._parts: dict[str, SenderResult | None] = {}
        self._told = Event()
        environment.events.test_start.add_listener(self._start)
        environment.events.worker_report.add_listener(self._take_report)
        environment.events.test_stopping.add_listener(self._stop)
        self.runner.register_message("walked", self._take_last)

    def _start(self, **_: Any) -> None:
        self._reporter = self.open_reporter()
        if self._reporter is None:
            return
        clients = self.runner.clients
        workers = [client.id for client in clients.ready + clients.running + clients.spawning]
        self._parts = dict.fromkeys(workers)
        for number, worker in enumerate(workers):
            # This message arrives before the one that starts the users.
            self.runner.send_message("share", {"part": number, "parts": len(workers)}, worker)

    def _take_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        packed = data.pop("samples", None)
        if self._reporter is not None and packed is not None:
            self._reporter.add(unpack(packed))

    def _take_last(self, msg: Any, **_: Any) -> None:
        self._take_report(msg.node_id, msg.data)
        if msg.data["part"] is not None:
            self._parts[msg.node_id] = SenderResult(**msg.data["part"])
        self._told.set()

    def _stop(self, **_: Any) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        self.runner.send_message("finish")
        with gevent.Timeout(_LAST_WORD_S, exception=False):
            while self._awaited():
                self._told.clear()
                self._told.wait(1)
        self._reporter = None
        self.environment.process_exit_code = reporter.end(list(self._parts.values()))

    def _awaited(self) -> bool:
        """Return whether a connected worker has not reported its result."""
        clients = self.runner.clients
        there = {client.id for client in clients.ready + clients.spawning + clients.running}
        return any(part is None and worker in there for worker, part in self._parts.items())


class Worker(Node):
    """Sends its share of the load."""

    def __init__(self, environment: Environment, user_class: type[InferUser]) -> None:
        super().__init__(environment)
        self._sender = Sender(user_class)
        self._share: dict[str, int] | None = None
        environment.events.test_start.add_listener(self._start)
        environment.events.report_to_master.add_listener(self._report)
        environment.events.quitting.add_listener(self._finish)
        self.runner.register_message("share", self._take_share)
        # Runs in its own greenlet, because it waits for answers while other messages arrive.
        self.runner.register_message("finish", self._finish, concurrent=True)

    def _take_share(self, msg: Any, **_: Any) -> None:
        self._share = msg.data

    def _start(self, **_: Any) -> None:
        if self._share is None:
            return
        try:
            self._sender.prepare(read_options(self.environment.host, self.options), **self._share)
        except LoadTestError as error:
            logging.error("%s", error)

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        samples = self._sender.take()
        if len(samples):
            data["samples"] = pack(samples)

    def _finish(self, **_: Any) -> None:
        if self._share is None:
            return
        self._share = None
        part = self._sender.finish()
        message = {"part": part and asdict(part), "samples": pack(self._sender.take())}
        self.runner.send_message("walked", message)
        # Wrong answers are handled in the report, which the master makes.
        self.environment.process_exit_code = 0


def join_swarm(environment: Environment, user_class: type[InferUser]) -> None:
    """Join the swarm in the role of this process."""
    if isinstance(environment.runner, WorkerRunner):
        Worker(environment, user_class)
        return
    # Otherwise Ctrl-C would interrupt any running greenlet, such as the walk; here Locust waits for this one.
    gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
    if isinstance(environment.runner, MasterRunner):
        Master(environment)
    else:
        Local(environment, user_class)
