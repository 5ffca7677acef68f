from serve.base.routing import Routes
from serve.rollout.advance import accept
from serve.rollout.state.rollout import Phase, routes_of
from serve.rollout.withdrawal import on_top, withdraw
from tests.serve.rollout.rollouts import at_step

BEFORE = Routes(model="digits", baseline="fp32", weights={"fp32": 1, "int8": 0})


def test_an_abort_of_what_became_the_baseline_meanwhile_gives_all_to_the_one_before() -> None:
    """An abort after the candidate was accepted gives all traffic to the former baseline."""
    running = at_step(5)
    ahead = withdraw(running, BEFORE, "bob", "it fails", 1.0)
    done = accept(running.model_copy(update={"phase": Phase.DONE}), "ann")
    routes = routes_of(done, BEFORE)
    assert routes.baseline == "int8"
    change = on_top(ahead, done, routes, 2.0)
    assert change is not None
    assert change.routes is not None
    assert (change.routes.baseline, change.routes.share("fp32")) == ("fp32", 1.0)
