import json
from pathlib import Path

import pytest

from serve.base.errors import Unwritten
from serve.rollout.api_records import ActRequest, RolloutRequest, RolloutView
from serve.rollout.state.policy import Policy, ShadowPolicy
from tests.serve.control.cli.conftest import Type
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl

RUNS = "linear-20261122-152000-3f9a"
FAILED = "linear-20261122-140000-81c0"
ACTS = ["pause", "promote", "abort"]


@pytest.fixture
def idle(endpoint: Endpoint) -> LocalControl:
    """The keeper after its rollout was aborted."""
    endpoint.control.come_to("aborted")
    return endpoint.control


def test_start_sends_the_policy_that_was_written(type: Type, idle: LocalControl, tmp_path: Path) -> None:
    """A start sends the validated policy file, including its nulls."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("{cheaper_by: null, shadow: {slices: null}}")
    code, shown = type("rollout", "start", "linear", "--to", "light", "--policy", str(policy))
    wanted = RolloutRequest(
        candidate="light", policy=Policy(cheaper_by=None, shadow=ShadowPolicy(slices=None))
    )
    assert (code, idle.told) == (0, [("start", "linear", wanted, "local")])
    assert "SHADOW" in shown
    assert "rollout status linear --watch" in shown


def test_a_policy_with_a_fault_never_reaches_the_server(
    type: Type, idle: LocalControl, tmp_path: Path
) -> None:
    """A policy with an unknown key exits with 2 and names the file and the key; nothing is sent."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("{stepz: []}")
    code, shown = type("rollout", "start", "linear", "--to", "light", "--policy", str(policy))
    assert (code, idle.told) == (2, [])
    assert "policy.yaml: unknown key 'stepz'; did you mean 'steps'?" in shown


def test_what_the_server_refuses_is_said_in_its_words(type: Type) -> None:
    """The command exits with 2 and prints the server's message."""
    code, shown = type("rollout", "start", "linear", "--to", "light")
    assert code == 2
    assert shown.startswith(f"counterweight: rollout {RUNS} to 'light' of 'linear' is in progress; ")


@pytest.mark.parametrize("name", ["linear", RUNS])
def test_status_shows_the_rollout_of_that_name_or_the_models_newest(type: Type, name: str) -> None:
    """The status shows the steps and what the rollout waits for."""
    code, shown = type("rollout", "status", name)
    assert code == 0
    assert shown.splitlines()[0].split() == ["linear:", "base", "->", "light", RUNS]
    assert "1 % > 5 % > [25 %] > 50 %" in shown
    assert "waits for   at 25 % of the traffic: 780 of 1,000 requests" in shown


def test_status_of_a_rollout_that_failed_is_1(type: Type) -> None:
    """The command exits with 1 and prints why the rollout was rolled back."""
    code, shown = type("rollout", "status", FAILED)
    assert code == 1
    assert "because     judge: harm shown in the shadow: disagreement: 104 of 2,000" in shown


def test_status_as_json_is_the_servers_view(type: Type, endpoint: Endpoint) -> None:
    """`--json` prints the whole view of the server."""
    code, shown = type("rollout", "status", "linear", "--json")
    assert code == 0
    assert RolloutView.model_validate_json(shown) == endpoint.control.keeper.command("view", RUNS)


def test_status_alone_lists_the_newest_rollout_of_every_model(type: Type) -> None:
    """Without a name, `status` prints one line per model."""
    code, shown = type("rollout", "status")
    [row] = shown.splitlines()[2:]
    assert (code, row.split()[:4]) == (0, ["linear", "light", "STEP", "3"])


def test_status_of_every_model_as_json(type: Type) -> None:
    """The JSON of all models has one entry per model name."""
    _, shown = type("rollout", "status", "--json")
    assert json.loads(shown)["models"]["linear"]["rollout"] == RUNS


def test_watching_needs_a_name(type: Type) -> None:
    """`status --watch` without a name exits with 2."""
    code, shown = type("rollout", "status", "--watch")
    assert code == 2
    assert "--watch needs a MODEL or a ROLLOUT" in shown


def test_a_name_that_is_neither_a_model_nor_a_rollout_is_refused(type: Type) -> None:
    """The error suggests the nearest model."""
    code, shown = type("rollout", "status", "liner")
    assert code == 2
    assert "'liner' is neither a served model nor a rollout; did you mean 'linear'?" in shown


@pytest.mark.parametrize("act", ACTS)
def test_an_act_says_on_what_it_was_decided(type: Type, endpoint: Endpoint, act: str) -> None:
    """`resume` and `promote` send the number of the entry that was read; `pause` and `abort` send none."""
    number = endpoint.control.keeper.command("view", RUNS).number if act in ("resume", "promote") else None
    code, shown = type("rollout", act, "linear")
    assert (code, endpoint.control.told) == (0, [("act", RUNS, act, ActRequest(number=number), "local")])
    assert shown.startswith(f"{RUNS}: ")


@pytest.mark.parametrize("act", ACTS)
def test_a_reason_goes_along(type: Type, endpoint: Endpoint, act: str) -> None:
    """The reason is sent to the server, printed, and shown by `status`."""
    code, shown = type("rollout", act, "linear", "--reason", "wrong prices")
    assert (code, endpoint.control.told[0][3].reason) == (0, "wrong prices")
    assert shown.endswith("local: wrong prices\n")
    assert "local: wrong prices" in type("rollout", "status", "linear")[1]


def test_a_reason_that_says_nothing_never_reaches_the_server(type: Type, endpoint: Endpoint) -> None:
    """A blank reason exits with 2 and nothing is sent to the server."""
    code, shown = type("rollout", "abort", "linear", "--reason", " ")
    assert (code, endpoint.control.told) == (2, [])
    assert "rollout abort: reason: " in shown


def test_a_paused_rollout_is_resumed(type: Type) -> None:
    """`resume` continues the paused rollout under the same name."""
    type("rollout", "pause", "linear")
    assert type("rollout", "status")[1].splitlines()[2].split()[2] == "PAUSED"
    assert type("rollout", "resume", "linear") == (0, f"{RUNS}: STEP 3 of 5, 25 % asked; local: resumed\n")


def test_what_is_done_is_accepted(type: Type, endpoint: Endpoint) -> None:
    """A finished rollout offers `accept`, which sends the act with its reason."""
    endpoint.control.come_to("done")
    offered = "new baseline: counterweight rollout accept linear\n"
    assert offered in type("rollout", "status", "linear")[1]
    number = endpoint.control.keeper.command("view", RUNS).number
    code, _ = type("rollout", "accept", "linear", "--reason", "a quiet week")
    wanted = ActRequest(number=number, reason="a quiet week")
    assert (code, endpoint.control.told) == (0, [("act", RUNS, "accept", wanted, "local")])
    assert "it is the baseline now\n" in type("rollout", "status", "linear")[1]


def test_history_says_what_was_done_by_whom_and_why(type: Type, endpoint: Endpoint) -> None:
    """The history omits verdicts that only continued."""
    endpoint.control.come_to("shadow")
    assert endpoint.control.keeper.commands.trail("linear", 4)[0].kind == "CONTINUE"
    code, shown = type("rollout", "history", "linear")
    assert code == 0
    assert "judge: ROLLBACK -> ROLLED_BACK, 100 % base" in shown
    assert "harm shown in the shadow: disagreement" in shown
    assert "CONTINUE" not in shown


def test_history_tells_a_qualification(type: Type, endpoint: Endpoint) -> None:
    """The history shows the outcome of a qualification and its reason."""
    endpoint.control.keeper.fail_qualification("ann")
    head, reason = type("rollout", "history", "linear")[1].splitlines()[-2:]
    assert head.endswith("  ann: qualify")
    assert reason == "       light against base: NOT_QUALIFIED (capacity FAIL); capacity: 3/s of 4/s"


def test_history_as_json_is_the_whole_trail(type: Type) -> None:
    """`--json` prints all entries with consecutive numbers."""
    _, shown = type("rollout", "history", "linear", "--json")
    entries = json.loads(shown)["entries"]
    assert [entry["number"] for entry in entries] == list(range(1, len(entries) + 1))
    assert {entry["rollout"] for entry in entries} >= {RUNS, FAILED}


def test_a_replay_without_a_difference_is_0(type: Type) -> None:
    """A replay without differences exits with 0 and prints the number of verdicts."""
    code, shown = type("rollout", "replay", RUNS)
    assert (code, shown) == (0, f"{RUNS}: 3 verdicts computed again, all are the same\n")


def test_a_replay_with_a_difference_is_1(type: Type, endpoint: Endpoint) -> None:
    """A replay with differences exits with 1 and names the entry of each."""
    keeper = endpoint.control.keeper
    keeper.forge('"judge"', '"jugde"')
    code, shown = type("rollout", "replay", RUNS)
    assert code == 1
    assert f"entry {keeper.state.present.number}" in shown


@pytest.mark.parametrize(
    "command", ["start", "status", "pause", "resume", "promote", "abort", "accept", "history", "replay"]
)
def test_every_command_of_rollout_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help of every command ends with an example."""
    from serve.control.cli.rollout_command import rollout

    with pytest.raises(SystemExit) as end:
        rollout([command, "--help"])
    assert end.value.code == 0
    assert f"example: counterweight rollout {command}" in capsys.readouterr().out


def test_an_abort_that_is_written_later_is_done(type: Type, endpoint: Endpoint) -> None:
    """An abort that the gateway performs without a keeper exits with 0."""
    endpoint.watched(RUNS)
    endpoint.control.error = Unwritten(f"rollout {RUNS} is aborted; it is written down later")
    code, shown = type("rollout", "abort", "linear")
    endpoint.watched(None)
    assert (code, shown) == (0, f"rollout {RUNS} is aborted; it is written down later\n")
