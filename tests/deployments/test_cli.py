from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.cli import serve
from deployments.server_plan import ServerPlan
from serve.base.errors import InvalidBundle, InvalidRecord, RejectedBundle, UnknownModel, UnknownVariant


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ServerPlan]:
    """The plans that would have been served; Ctrl-C replaces the running server."""
    seen: list[ServerPlan] = []

    @contextmanager
    def running(plan: ServerPlan) -> Iterator[Path]:
        seen.append(plan)
        yield tmp_path

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deployments.server.running", running)
    # The test starts no guard process and skips all waiting.
    monkeypatch.setattr("deployments.cli.go_on_guarded", lambda: None)
    monkeypatch.setattr("deployments.cli.time.sleep", lambda _: None)
    monkeypatch.setattr("deployments.cli.stop_if_signalled", interrupt)
    return seen


def test_without_options_everything_is_as_the_help_says(
    plans: list[ServerPlan], module_repository: Path
) -> None:
    """By default the server listens on 127.0.0.1 with one gateway, a replica per variant and no access
    log."""
    assert serve([str(module_repository)]) == 0
    [plan] = plans
    assert (plan.host, plan.port, plan.grpc_port) == ("127.0.0.1", 8000, 8001)
    assert (plan.gateways, plan.replicas, plan.access_log) == (1, 1, None)
    assert plan.placement_of("linear") == "apart"


def test_options_become_the_plan(plans: list[ServerPlan], module_repository: Path, tmp_path: Path) -> None:
    """Each option of the command sets its field of the plan."""
    typed = "--host ::1 --port 1234 --grpc-port 1235 --weights linear:base=9,light=1 --placement together"
    more = "--gateways 2 --replicas 3 --set max_batch_rows=16 --set max_wait_s=0.01"
    log = ["--access-log", str(tmp_path / "log")]
    serve([str(module_repository), *typed.split(), *more.split(), *log])
    [plan] = plans
    assert (plan.host, plan.port, plan.grpc_port) == ("::1", 1234, 1235)
    assert plan.weights == {"linear": {"base": 9.0, "light": 1.0}}
    assert plan.placement_of("linear") == "together"
    assert (plan.gateways, plan.replicas, plan.access_log) == (2, 3, tmp_path / "log")
    assert (plan.settings.max_batch_rows, plan.settings.max_wait_s) == (16, 0.01)


def test_says_where_it_serves_and_how_traffic_is_split(
    plans: list[ServerPlan], module_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address and the traffic split are printed to standard error, and standard output is empty."""
    serve([str(module_repository), "--weights", "linear:base=9,light=1"])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "starting Ray Serve for linear (apart) ..." in shown.err
    assert "serving on http://127.0.0.1:8000, gRPC on 127.0.0.1:8001" in shown.err
    assert "linear: 0.9 base, 0.1 light   POST http://127.0.0.1:8000/v2/models/linear/infer" in shown.err
    assert shown.err.endswith("stopped\n")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--weights", "linear"], InvalidRecord, "write MODEL:VARIANT=WEIGHT"),
        (["--weights", "other:base=1"], UnknownModel, "--weights: no model 'other'"),
        (["--weights", "linear:base=1,ligt=1"], UnknownVariant, "did you mean 'light'"),
        (["--weights", "linear:base=1,poor=1"], RejectedBundle, r"was rejected: accuracy 0\.50"),
        (["--weights", "linear:light=1"], InvalidRecord, "not name the baseline 'base'"),
        (["--placement", "beside"], InvalidRecord, "'apart' or 'together'"),
        (["--placement", "other=apart"], UnknownModel, "--placement: no model 'other'"),
        (["--port", "99999"], InvalidRecord, "port: "),
        (["--gateways", "0"], InvalidRecord, "gateways: "),
        (["--set", "max_batch_rows"], InvalidRecord, "write NAME=VALUE, such as max_batch_rows=16"),
        (["--set", "max_batch_row=1"], InvalidRecord, "--set: unknown key.*did you mean 'max_batch_rows'"),
        (["--set", "max_batch_rows=0"], InvalidRecord, "--set: max_batch_rows: "),
        (["--set", "max_wait_s=soon"], InvalidRecord, "--set: max_wait_s: .*'soon'"),
        (
            ["--tokens", "none.yaml"],
            InvalidRecord,
            r"none\.yaml: No such file.* a list of \{name, role, token",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_starts_nothing(
    plans: list[ServerPlan], module_repository: Path, options: list[str], error: type[Exception], message: str
) -> None:
    """An invalid option is refused before anything is started, and the message gives the fix."""
    with pytest.raises(error, match=message):
        serve([str(module_repository), *options])
    assert plans == []


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A file with one token."""
    path = tmp_path / "tokens.yaml"
    path.write_text("- {name: ann, role: operate, token: correct-horse-battery}")
    return path


def test_what_tokens_are_good_for_is_part_of_the_plan(
    plans: list[ServerPlan], module_repository: Path, tokens: Path
) -> None:
    """The plan grants access by the tokens but does not contain them."""
    serve([str(module_repository), "--tokens", str(tokens)])
    [plan] = plans
    assert plan.access.admit("operate", "Bearer correct-horse-battery") == "ann"
    assert "correct-horse" not in repr(plan) + plan.model_dump_json()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::"])
def test_beyond_this_machine_without_tokens_says_what_is_closed(
    plans: list[ServerPlan], module_repository: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """On a public address without tokens the server starts, and says what is closed and how to open it."""
    assert serve([str(module_repository), "--host", host]) == 0
    assert plans[0].access.closed
    said = capsys.readouterr().err
    assert f"closed: /control, /metrics, load and unload, because {host} " in said
    assert "open them with --tokens FILE" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_nothing_is_closed(
    plans: list[ServerPlan], module_repository: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    """On a loopback address nothing is closed, and the output does not mention it."""
    serve([str(module_repository), "--host", host])
    assert not plans[0].access.closed
    assert "closed" not in capsys.readouterr().err


def test_with_tokens_nothing_is_closed(
    plans: list[ServerPlan], module_repository: Path, tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With tokens, no part of the server is closed, whatever address it listens on."""
    serve([str(module_repository), "--host", "0.0.0.0", "--tokens", str(tokens)])
    assert "closed" not in capsys.readouterr().err


def test_a_repository_that_is_none_starts_nothing(plans: list[ServerPlan], tmp_path: Path) -> None:
    """The error for a missing repository says to export a recipe first, and nothing is served."""
    with pytest.raises(InvalidBundle, match="is not a folder; export a recipe into it first"):
        serve([str(tmp_path / "missing")])
    assert plans == []
