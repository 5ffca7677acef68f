"""Our server and its alternatives, each configured as its own guides advise."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.peers.body_form import PROTOCOL, ROW, ROWS, BodyForm
from loadtests.peers.peer_session import BATCH_VARIABLE, BATCH_WAIT_S, MODEL_VARIABLE
from loadtests.peers.process import READY, ServerProcess
from loadtests.peers.virtual_environment import make_environment, requirements_of
from loadtests.peers.workload import Workload
from loadtests.sending.model_metadata import model_path

_ROOT = Path(__file__).parents[2]
_APPS = "loadtests.peers"


@dataclass(frozen=True, kw_only=True)
class Server:
    """How to start a server and how to send requests to it."""

    name: str
    # Returns the command for the folder of programs of its environment, with ServerProcess's placeholders.
    command: Callable[[Path], list[str]]
    # Requirements of its own environment; empty: it runs in ours.
    requirements: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    ready: str = READY
    # The path of requests.
    path: str
    form: BodyForm = PROTOCOL

    def process(self, environments: Path) -> ServerProcess:
        """Return its process, not yet started, after creating its environment if needed. Raises
        LoadTestError."""
        programs = Path(sys.executable).parent
        if self.requirements:
            programs = make_environment(environments / self.name, self.requirements)
        return ServerProcess(self.name, self.command(programs), self.variables, self.ready)


def ours(name: str, repository: Path, workload: Workload, *options: str) -> Server:
    """Return `counterweight serve` with the workload's split."""
    weights = ",".join(f"{variant}={weight}" for variant, weight in workload.weights.items())
    arguments = ["serve", str(repository), "--port", "{port}", "--grpc-port", "{grpc_port}"]
    arguments += ["--weights", f"{workload.model}:{weights}", *options]
    # No other server rejects requests because of its queue, so ours must not either in a comparison of costs.
    arguments += ["--set", "max_queue_wait_s=30"]
    return Server(
        name=name,
        command=lambda programs: [str(programs / "python"), "-m", "counterweight", *arguments],
        path=f"{model_path(workload.model)}/infer",
    )


def peers(repository: Path, workload: Workload) -> list[Server]:
    """Return every alternative, serving the workload's baseline."""
    file = repository / workload.model / workload.baseline / "model.onnx"
    return [make(file, workload) for make in (fastapi, _mlserver, _litserve, _bentoml, _ray)]


def fastapi(file: Path, workload: Workload) -> Server:
    """A FastAPI application without batching and without access log."""
    app = ["--factory", f"{_APPS}.fastapi_onnxruntime:create", "--no-access-log", "--log-level", "warning"]
    return Server(
        name="fastapi",
        command=lambda programs: [str(programs / "uvicorn"), *app, "--port", "{port}"],
        requirements=requirements_of("fastapi==0.165.0", "uvicorn[standard]==0.54.0"),
        variables={MODEL_VARIABLE: str(file)},
        path=f"{model_path(workload.model)}/infer",
    )


def _mlserver(file: Path, workload: Workload) -> Server:
    # Without workers, which is the cheapest mode: each worker is a process and two queues more.
    variables = {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": "{port}",
        "MLSERVER_GRPC_PORT": "{grpc_port}",
        "MLSERVER_METRICS_PORT": "{metrics_port}",
        "MLSERVER_PARALLEL_WORKERS": "0",
        # Otherwise it prints a line for every request.
        "MLSERVER_DEBUG": "false",
        "MLSERVER_MODEL_NAME": workload.model,
        "MLSERVER_MODEL_IMPLEMENTATION": f"{_APPS}.mlserver_onnxruntime.OnnxModel",
        MODEL_VARIABLE: str(file),
    }
    if workload.batch_rows > 1:
        variables["MLSERVER_MODEL_MAX_BATCH_SIZE"] = str(workload.batch_rows)
        variables["MLSERVER_MODEL_MAX_BATCH_TIME"] = str(BATCH_WAIT_S)
    return Server(
        name="mlserver",
        command=lambda programs: [str(programs / "mlserver"), "start", "{scratch}"],
        requirements=requirements_of("mlserver==1.7.1", "uvicorn==0.54.0", "uvloop==0.23.0"),
        variables=variables,
        path=f"{model_path(workload.model)}/infer",
    )


def _litserve(file: Path, workload: Workload) -> Server:
    return Server(
        name="litserve",
        command=lambda programs: [str(programs / "python"), "-m", f"{_APPS}.litserve_onnxruntime", "{port}"],
        requirements=requirements_of("litserve==0.2.19", "uvicorn==0.54.0"),
        variables=_model(file, workload),
        ready="/health",
        path="/predict",
        form=ROW,
    )


def _bentoml(file: Path, workload: Workload) -> Server:
    service = [f"{_APPS}.bentoml_onnxruntime:Onnx", "--host", "127.0.0.1", "--working-dir", str(_ROOT)]
    return Server(
        name="bentoml",
        command=lambda programs: [str(programs / "bentoml"), "serve", *service, "--port", "{port}"],
        requirements=requirements_of("bentoml==1.4.39", "uvicorn==0.54.0"),
        variables={
            **_model(file, workload),
            "BENTOML_DO_NOT_TRACK": "True",
            # Otherwise it creates a folder in the home folder.
            "BENTOML_HOME": "{scratch}",
        },
        ready="/readyz",
        path="/predict",
        form=ROWS,
    )


def _ray(file: Path, workload: Workload) -> Server:
    arguments = ["-m", f"{_APPS}.ray_onnxruntime", "{port}", "{scratch}"]
    return Server(
        name="ray-serve",
        command=lambda programs: [str(programs / "python"), *arguments],
        requirements=requirements_of("ray[serve]==2.60.0", "uvicorn==0.54.0"),
        variables={
            **_model(file, workload),
            "RAY_USAGE_STATS_ENABLED": "0",
            # With a given token, Ray does not write one into the home folder.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "counterweight-bench",
        },
        ready="/-/healthz",
        path="/",
        form=ROW,
    )


def _model(file: Path, workload: Workload) -> dict[str, str]:
    return {MODEL_VARIABLE: str(file), BATCH_VARIABLE: str(workload.batch_rows)}
