"""Which worker runs which files, and in what order, when there are several workers."""

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadFileScheduling

# Long files start first, so that no worker ends with one while the other is idle. The files of one line run
# in one worker, in this order, so that their shared fixtures are made once.
LINES = (
    ("e2e/api/test_tritonclient.py", "e2e/api/test_serving.py", "e2e/api/test_malformed.py"),
    ("e2e/test_demo.py",),
    ("e2e/test_reliability.py",),
    ("e2e/test_rollout.py",),
    ("e2e/test_rollout_kills.py",),
    ("e2e/test_qualify.py",),
    ("e2e/test_recipes.py",),
    ("e2e/test_candidates.py",),
    ("e2e/test_breaker.py",),
    ("e2e/test_gateway_deaths.py",),
    ("e2e/test_overload.py",),
    ("e2e/test_lifecycle.py",),
    ("e2e/test_serving_host.py",),
    (
        "export/recipes/test_digits.py",
        "export/test_pipeline.py",
        "export/test_survival.py",
        "export/test_cli.py",
        "export/test_file_data.py",
    ),
    ("export/test_guide.py",),
    ("export/property/test_bench.py",),
    ("export/property/test_graphs.py",),
    ("export/tasks/test_label_sets_export.py",),
    ("export/tasks/test_segmentation.py",),
    ("export/tasks/test_regression.py",),
    ("export/report/test_charts.py",),
    ("export/pruning/test_proof.py",),
    ("export/sandbox/test_isolation.py",),
    ("export/test_evaluate_outputs.py",),
    ("export/test_several_sizes_export.py",),
    ("export/onnx/test_to_onnx.py",),
    ("loadtests/kinds/test_capacity.py",),
    ("loadtests/kinds/test_load.py",),
    ("loadtests/swarm/test_locustfile.py", "loadtests/swarm/test_page.py"),
    ("loadtests/qualify/test_stages.py",),
    ("loadtests/qualify/test_cli.py",),
    ("loadtests/peers/test_peer_measurement.py",),
    ("serve/rollout/test_simulation.py",),
    ("serve/rollout/test_controller_killed.py",),
    (
        "serve/dashboard/test_frame.py",
        "serve/dashboard/test_acts.py",
    ),
    ("serve/rollout/store/test_store.py",),
    ("serve/rollout/store/test_audit.py",),
    ("serve/rollout/store/test_row_seals.py",),
    ("serve/rollout/judging/test_mcnemar.py",),
    ("loadtests/test_cli.py",),
    ("loadtests/judging/test_ratios.py",),
    ("loadtests/peers/test_bench.py",),
    ("loadtests/sending/test_user.py",),
    ("loadtests/sending/test_measure.py",),
    ("loadtests/render/test_page.py",),
    ("house/test_telemetry.py",),
    ("serve/engine/test_queue_property.py",),
)
_ROOM = PurePosixPath("tests")
_PLACES = {
    str(_ROOM / file): (line, place) for line, files in enumerate(LINES) for place, file in enumerate(files)
}
_LAST = (len(LINES), 0)


class Lines(LoadFileScheduling):  # type: ignore[misc] # has no types of its own
    """Hands out whole lines, and files that stand in none, in the order of `arrange`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        line, _ = _PLACES.get(file, _LAST)
        return file if line == len(LINES) else LINES[line][0]


def arrange(items: list[pytest.Item]) -> None:
    """Put tests in the order of LINES, and those of other files after them; within a line by their server."""

    def place_of(item: pytest.Item) -> tuple[int, str, int]:
        line, place = _PLACES.get(item.nodeid.partition("::")[0], _LAST)
        callspec = getattr(item, "callspec", None)
        server = "" if callspec is None or line == len(LINES) else str(callspec.params.get("server", ""))
        return line, server, place

    items.sort(key=place_of)
