"""Numbers and times as the page writes them; in these tests `_` stands for a thin space."""

from typing import Any

from playwright.sync_api import expect

from serve.rollout.state.policy import Policy
from tests.serve.dashboard.conftest import Open, Visit


def call(visit: Visit, module: str, name: str, *given: Any) -> Any:
    """Return the result of a function of the page."""
    script = "([module, name, given]) => import(`/dashboard/${module}.js`).then((all) => all[name](...given))"
    return visit.page.evaluate(script, [module, name, list(given)])


def test_numbers_are_set_alike(visit: Open) -> None:
    """Numbers have three significant digits and thin spaces, and no share below 1 is rounded up to 100 %."""
    page = visit()
    cases: dict[tuple[Any, ...], str] = {
        ("count", 1284310): "1_284_310",
        ("count", 999): "999",
        ("short", 0.00123): "0.00123",
        ("short", 12.0): "12",
        ("exactMs", 10): "10.0_ms",
        ("percent", 0.01): "1_%",
        ("percent", 0.99999): "99.99_%",
        ("percent", 1): "100_%",
        ("duration", 59.6): "1_min",
        ("duration", 5400): "1_h 30_min",
        ("odds", 1.5): "4.48",
        ("odds", 37.0): "10¹⁶",
        ("formatNumbers", "412 of 1,000 requests, odds 10^16"): "412 of 1_000 requests, odds 10¹⁶",
    }
    found = {case: call(page, "format", *case).replace("\u202f", "_") for case in cases}
    assert found == cases


def test_the_default_policy_is_told_as_it_is(visit: Open) -> None:
    """The form says in words what an empty policy does."""
    policy = Policy()
    page = visit("done")
    page.press("Start a rollout …")
    shares = [f"{100 * step.share:g}" for step in policy.steps]
    [minimum_s] = {step.minimum_s for step in policy.steps}
    [requests] = {step.minimum_requests for step in policy.steps}
    assert (minimum_s, requests, policy.shadow.minimum_pairs) == (60, 1000, 1000)
    said = page.page.get_by_role("dialog")
    expect(said).to_contain_text(f"then {', '.join(shares[:-1])} and {shares[-1]} % of the traffic")
    expect(said).to_contain_text("each for at least a minute and 1 000 requests")


def test_what_is_missing_is_told_apart(visit: Open) -> None:
    """The parts of a reason are separated, even if a part contains a semicolon."""
    items = [
        "34 of 60 s",
        "suspected harm, errors: 12 of 1,540 (0.78%), odds 152 (harm from 500)",
        "cost unproven: 0.24 ms a row against 0.263; required below 1 times, odds 1 of 20 needed",
    ]
    verdict = {"reason": f"at 2.5 % of the traffic: {'; '.join(items)}"}
    page = visit()
    assert call(page, "rollout", "missing", verdict) == items
    short = {"counts": ["34 of 60 s"], "unproven": ["cost"]}
    assert call(page, "rollout", "missingInShort", verdict) == short


def test_a_figure_stands_where_the_judge_sees_it(visit: Open) -> None:
    """`guardState` follows serve/rollout/judging/guard_figure.py: (harm, its limit, safety, its limit)."""
    page = visit()
    cases = {
        (6.3, 6.2, 0.0, 3.0): "harm",
        (3.1, 6.2, 0.0, 3.0): "suspicion",
        (0.0, 6.2, 3.0, 3.0): "proven",
        (None, None, 1.0, 3.0): "open",
    }
    names = ("harm", "harm_at", "safe", "safe_at")
    found = {
        case: call(page, "guard_state", "guardState", dict(zip(names, case, strict=True))) for case in cases
    }
    assert found == cases
