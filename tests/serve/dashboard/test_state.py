"""What the page shows of a model and its rollout."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serve.base.routing import Routes
from serve.bundles.meaning import Meaning
from serve.engine.catalog import Catalog
from serve.rollout.api_records import RolloutRequest
from serve.rollout.evidence.evidence import Evidence
from serve.rollout.state.policy import Policy, ShadowPolicy
from tests.conftest import make_bundle
from tests.serve.dashboard.conftest import Open
from tests.serve.endpoint import Endpoint
from tests.serve.local_control import LocalControl
from tests.serve.rollout.rollouts import segment
from tests.serve.rollout_stages import Stage


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("shadow", "light is in the shadow: it gets copies of 100 % of the requests"),
        ("step", "Rolling out light: step 3 of 5, 25 % of the traffic."),
        ("watched", "light has all traffic and is watched for 1 h. Nothing harmful."),
        ("done", "light was promoted: base answers all of linear."),
        ("rolled back", "light was rolled back in step 3 of 5: base answers all of linear."),
    ],
)
def test_the_phase_is_said_in_words(visit: Open, stage: Stage, said: str) -> None:
    """One sentence says how the rollout stands and which variant answers."""
    expect(visit(stage).state).to_contain_text(said)


def test_what_is_waited_for_is_said(visit: Open) -> None:
    """The sentence gives the counts that the rollout waits for."""
    expect(visit("step").state).to_contain_text("Nothing harmful, waiting for: 780 of 1 000 requests")


def test_a_verdict_gives_its_reason(visit: Open) -> None:
    """The evidence card shows the judge's action and reason."""
    evidence = visit("rolled back").card("Evidence")
    expect(evidence).to_contain_text("ROLLBACK")
    expect(evidence).to_contain_text("harm shown at 25 % of the traffic: errors: 32 of 1 395")


def test_evidence_beyond_its_line_is_said(visit: Open) -> None:
    """Evidence beyond its threshold is stated in words."""
    errors = visit("rolled back").page.locator("[data-key=errors]")
    expect(errors).to_contain_text("harm shown")
    expect(errors.locator(".odds")).to_contain_text("beyond the threshold (")


def test_the_picture_has_words_for_those_who_listen(visit: Open) -> None:
    """The aria-label of a picture gives the evidence as a percentage of its threshold."""
    picture = visit("rolled back").page.locator("[data-key=split] .bullet")
    expect(picture).to_have_attribute("aria-label", "evidence for harm at 0 percent of its threshold")


def test_the_timeline_says_who_did_what(visit: Open) -> None:
    """The timeline lists each act with its author, the newest first."""
    timeline = visit("step").card("Timeline")
    heads = [
        "PROMOTE to 25 %",
        "PROMOTE to 5 %",
        "Resumed at 1 %",
        "Paused at 1 %",
        "PROMOTE to 1 %",
        "Started",
    ]
    expect(timeline.locator(".head b")).to_have_text(heads)
    expect(timeline.locator("li", has_text="Paused")).to_contain_text("by bob")


def test_the_timeline_tells_a_qualification_with_the_rollout_after_it(
    visit: Open, endpoint: Endpoint
) -> None:
    """A qualification stands in the timeline of the rollout that follows it."""
    endpoint.control.come_to("aborted")
    keeper = endpoint.control.keeper
    keeper.fail_qualification("bob")
    keeper.commands.start("linear", RolloutRequest(candidate="light"), "ann")
    timeline = visit().card("Timeline")
    expect(timeline.locator(".head b")).to_have_text(["Started", "Qualification"])
    expect(timeline.locator("li", has_text="Qualification")).to_contain_text(
        "by bob: light against base: NOT_QUALIFIED (capacity FAIL); capacity: 3/s of 4/s"
    )


def test_the_shadow_says_how_alike_they_are(visit: Open) -> None:
    """The card shows the agreement overall and by slice, the dropped copies and the failures."""
    shadow = visit("shadow").card("Shadow")
    expect(shadow.locator("[data-key='All pairs'] tr")).to_contain_text("98.59 %")
    expect(shadow.locator("[data-key=us]")).to_contain_text("96.82 %below the floor")
    expect(shadow).to_contain_text("17 copies dropped")
    expect(shadow).to_contain_text("ModelFailed: it broke")


def test_the_shadow_says_when_answers_agree(
    visit: Open, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence is that of the task, and figures that its answers do not have are not shown."""
    meanings = {"y": Meaning(kind="numbers", abs=20)}
    monkeypatch.setattr(endpoint.registry.models["linear"].shadows, "meanings", meanings)
    shadow = visit("shadow").card("Shadow")
    said = "Agreement: the share of rows with every number within 20 of the baseline's."
    expect(shadow).to_contain_text(said)
    heads = shadow.locator(".likeness thead")
    expect(heads).to_contain_text("Largest difference")
    expect(heads).not_to_contain_text("KL, nats")


@pytest.fixture
def aside(endpoint: Endpoint) -> Iterator[None]:
    """`light` gets copies without a rollout."""
    model = endpoint.registry.models["linear"]
    before, tally = model.routes, model.served["light"].queue.tally

    async def route(routes: Routes) -> None:
        model.route(routes, None)

    endpoint.call(route(before.model_copy(update={"shadows": {"light": 0.5}})))
    tally.copies, tally.disagreements, tally.drops = 640, 9, 17
    yield
    tally.copies = tally.disagreements = tally.drops = 0
    endpoint.call(route(before))


def test_a_shadow_without_a_rollout_says_how_alike_it_is(visit: Open, aside: None) -> None:
    """A shadow without a rollout shows its agreement and its dropped copies."""
    shadow = visit("none").card("Shadow")
    expect(shadow).to_contain_text("light gets copies of 50 % of the requests, without a rollout.")
    expect(shadow).to_contain_text("98.59 % agree: 631 of 640 pairs; 17 copies dropped.")


def test_a_shadow_after_a_rollout_that_had_none_is_not_said_to_be_skipped(
    visit: Open, endpoint: Endpoint, aside: None
) -> None:
    """A shadow without a rollout is not described as skipped after a rollout that had none."""
    endpoint.control.come_to("none")
    keeper = endpoint.control.keeper
    keeper.begin("linear-20261122-153000-0001", 30, Policy(shadow=ShadowPolicy(skip=True)))
    keeper.act("abort", "bob")
    shadow = visit().card("Shadow")
    expect(shadow).to_contain_text("98.59 % agree")
    expect(shadow).to_contain_text("This rollout had no shadow")
    expect(shadow).not_to_contain_text("skips")


def test_a_share_is_said_as_asked_and_as_served(visit: Open) -> None:
    """A variant shows its configured and its served share."""
    light = visit("step").page.locator(".variants [data-key=light]")
    expect(light).to_contain_text("0 % configured, 25 % served")


def test_an_earlier_rollout_can_be_looked_at(visit: Open) -> None:
    """The link of an earlier rollout shows it, and its name is in the address."""
    page = visit("step")
    page.card("Rollouts").get_by_role("link").last.click()
    expect(page.state).to_contain_text("light was rolled back in the shadow")
    assert page.page.url.endswith("#linear/linear-20261122-140000-81c0")


def test_a_model_without_a_rollout_says_so(visit: Open) -> None:
    """The page says that there are no rollouts yet and offers to start one."""
    page = visit("none")
    expect(page.state).to_have_text("base answers all of linear. There are no rollouts yet.")
    expect(page.page.get_by_role("button", name="Start a rollout …")).to_be_visible()


def test_a_model_without_traffic_says_so(visit: Open) -> None:
    """A model without traffic has a text in place of charts."""
    script = (
        "import('/dashboard/curves.js').then((all) => all.curves({}, null, null, [], 0, null).textContent)"
    )
    assert visit("step").page.evaluate(script) == "No requests in the last ten minutes."


def test_the_page_opens_on_the_model_that_is_rolling_out(page: Page, repository: Path) -> None:
    """The page opens on the model with a running rollout, and its tab and title say so."""
    make_bundle(repository, "base", model="another")
    with Endpoint(repository=repository, control=LocalControl("step")) as endpoint:
        endpoint.watched("linear-20261122-152000-3f9a")
        page.goto(endpoint.url)
        expect(page.locator("#state")).to_contain_text("Rolling out light")
        expect(page.locator("#models [aria-current]")).to_have_text("linear (rollout in progress)")
        expect(page).to_have_title("● 25\u202f% light · linear")


def test_the_page_stays_on_the_model_that_was_rolling_out(page: Page, repository: Path) -> None:
    """The page stays on the same model when its rollout ends."""
    make_bundle(repository, "base", model="another")
    with Endpoint(repository=repository, control=LocalControl("step")) as endpoint:
        endpoint.watched("linear-20261122-152000-3f9a")
        page.goto(endpoint.url)
        expect(page.locator("#state")).to_contain_text("Rolling out light")
        endpoint.watched(None)
        endpoint.control.come_to("done")
        expect(page.locator("#state")).to_contain_text("light was promoted")
        expect(page).to_have_title("linear · Counterweight")


def test_a_server_without_a_model_says_so(page: Page, module_repository: Path) -> None:
    """A server without models has a text that says what to do."""
    with Endpoint(repository=module_repository) as endpoint:
        endpoint.call(endpoint.registry.apply(Catalog(revision=2)))
        page.goto(endpoint.url)
        expect(page.get_by_role("heading", level=2)).to_contain_text("No model is served here yet.")


def test_hostile_names_stay_text(visit: Open) -> None:
    """A name that looks like HTML is shown as text."""
    hostile = "<img src=x onerror=document.title='owned'>"
    page = visit("step", candidate=hostile)
    expect(page.state).to_contain_text(f"Rolling out {hostile}")
    assert page.page.locator("main img").count() == 0


def test_a_candidate_that_is_not_cheaper_comes_with_the_way_out(visit: Open, endpoint: Endpoint) -> None:
    """The card with the evidence shows the advice to set `cheaper_by: null`."""
    endpoint.control.come_to("none")
    keeper = endpoint.control.keeper
    keeper.begin("linear-20261122-153000-0001", 600, Policy(shadow=ShadowPolicy(skip=True), proof_above=0))
    keeper.judge(Evidence(segments=(segment(1, 60_000, errors=(40, 0), cost=1.0),)))
    advice = visit().card("Evidence").locator(".notice")
    expect(advice).to_contain_text("1 times as much as the baseline")
    expect(advice).to_contain_text("cheaper_by: null")
