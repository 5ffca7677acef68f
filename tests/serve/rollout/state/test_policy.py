from pathlib import Path

import pytest

from serve.base.errors import InvalidRecord
from serve.rollout.state.policy import (
    AccuracyGuard,
    ErrorGuard,
    Guards,
    LatencyGuard,
    Policy,
    ShadowPolicy,
    Slices,
    Step,
    load_policy,
)

GUIDE = Path(__file__).parents[4] / "serve" / "rollout" / "POLICY.md"


def test_an_empty_file_is_the_default_policy(tmp_path: Path) -> None:
    """An empty file gives the default policy, with a shadow and five steps."""
    path = tmp_path / "policy.yaml"
    path.write_text("")
    policy = load_policy(path)
    assert policy == Policy()
    assert not policy.shadow.skip
    assert [step.share for step in policy.steps] == [0.01, 0.05, 0.25, 0.5, 1.0]


def test_what_a_person_writes_is_read(tmp_path: Path) -> None:
    """A policy as in the guide is read from YAML."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "shadow: {agreement: 0.99, cosine: 0.98}\n"
        "steps: [{share: 0.1, minimum_s: 300}, {share: 1, approval: true}]\n"
        "guards: {latency: {quantile: 0.95, limit_ms: 40}, accuracy: {allowed: 0.1}}\n"
        "inconclusive: pause\n"
    )
    policy = load_policy(path)
    assert policy.steps[1].approval
    assert policy.guards.latency.limit_ms == 40
    assert policy.guards.latency.allowed == pytest.approx(0.05)
    assert policy.guards.accuracy is not None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"stpes": []}, "did you mean 'steps'"),
        (
            {"steps": [{"share": 0.1}, {"share": 0.05}, {"share": 1}]},
            "0.05 follows 0.1; write shares in rising",
        ),
        ({"steps": [{"share": 0.1}, {"share": 0.5}]}, "last share is 0.5; end with share: 1"),
        ({"steps": [{"share": 1}]}, "nothing to compare with; put a smaller one before"),
        ({"steps": []}, "put a smaller one before"),
        ({"steps": [{"share": 0}, {"share": 1}]}, r"greater than 0 \(got: 0"),
        ({"guards": {"errors": {"harm": 2, "tolerance": 1.5}}}, "tolerance 1.5 is not above harm 2"),
        ({"holdback": 0.6}, r"holdback: .*less than or equal to 0.5"),
        ({"guards": {"errors": None}}, "guards.errors"),
        ({"shadow": None}, "shadow"),
        ({"guards": {"eror": {}}}, "guards: unknown key 'eror'; did you mean 'errors'"),
        ({"guards": {"latency": {"limit": 5}}}, "unknown key 'limit'; did you mean 'limit_ms'"),
        ({"maximum_s": 100}, "maximum_s 100 .* minimum_s, 300"),
        ({"webhook": "mail"}, "webhook"),
        ({"proof": 1}, "proof"),
    ],
)
def test_a_fault_is_named_with_its_value_and_its_place(content: dict[str, object], fault: str) -> None:
    """The error names the invalid key, its value and its place."""
    with pytest.raises(InvalidRecord, match=fault):
        Policy.parse(content, "policy.yaml")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """A key that occurs twice is refused."""
    path = tmp_path / "policy.yaml"
    path.write_text("proof: 0.9\nproof: 0.99\n")
    with pytest.raises(InvalidRecord, match="2: the key 'proof' is there twice"):
        load_policy(path)


def test_a_policy_survives_json() -> None:
    """A policy is the same after a round trip through JSON, even with defaults left out."""
    assert Policy.model_validate_json(Policy().model_dump_json(exclude_unset=True)) == Policy()


@pytest.mark.parametrize(
    ("before", "holdback", "share"), [(0.5, 0.05, 0.95), (0.98, 0.05, 0.99), (0.5, 0.0, 1.0)]
)
def test_the_last_step_holds_something_back(before: float, holdback: float, share: float) -> None:
    """The last step keeps the holdback, but no less than the share of the step before."""
    policy = Policy(steps=(Step(share=before), Step(share=1)), holdback=holdback)
    assert [policy.share_at(step) for step in range(3)] == [0, before, pytest.approx(share, abs=1e-12)]


def test_a_short_step_settles_in_half_of_its_time() -> None:
    """A short step settles for half of its minimum time."""
    policy = Policy(steps=(Step(share=0.1, minimum_s=3), Step(share=1, minimum_s=600)))
    assert [policy.settle_at(step) for step in (1, 2)] == [1.5, 30]


def test_a_policy_of_before_the_holdback_reads() -> None:
    """A stored policy without the keys for holdback and watch is read with their defaults."""
    stored = Policy().model_dump(exclude={"holdback", "watch_s", "settle_s"})
    assert Policy.model_validate(stored) == Policy()


def test_a_password_in_a_webhook_that_is_refused_is_not_said_again() -> None:
    """The error for a webhook with a password does not contain it."""
    with pytest.raises(InvalidRecord, match="webhook: an address with a password in it") as refused:
        Policy.parse({"webhook": "ftp://ann:secret@host"}, "policy")
    assert "secret" not in str(refused.value)


def test_the_guide_names_every_key() -> None:
    """The guide names each key of the policy."""
    guide = GUIDE.read_text()
    records = (Policy, ShadowPolicy, Slices, Step, Guards, ErrorGuard, LatencyGuard, AccuracyGuard)
    missing = {key for record in records for key in record.model_fields if f"`{key}`" not in guide}
    # The guide uses other words for these.
    assert missing <= {"shadow", "steps", "guards", "errors", "latency", "accuracy"}


def test_the_guides_example_is_a_policy(tmp_path: Path) -> None:
    """The example in the guide is a valid policy."""
    path = tmp_path / "policy.yaml"
    path.write_text(GUIDE.read_text().split("```yaml\n")[1].split("```")[0])
    assert load_policy(path).steps[2].approval
