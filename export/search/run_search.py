"""Runs a whole search: analyse, try, prove the best ones on the held-out rows, and write everything."""

from pathlib import Path

from export.errors import ExportFailed
from export.progress import Say, progress
from export.recipe import Recipe, load_recipe
from export.sandbox.isolation import export_in_sandbox
from export.sandbox.model_lock import locked
from export.search.describe_search import describe_page, describe_trial
from export.search.found_recipe import name_variant, write_found
from export.search.race import list_rungs
from export.search.search_analysis import Analysis
from export.search.search_loop import SearchEnd, SearchLoop
from export.search.search_outcome import SearchOutcome, find_winner
from export.search.search_page import write_search_page
from export.search.search_request import Search
from export.search.study import Study
from export.search.trial_front import find_front
from export.search.trial_workers import LocalWorkers
from serve.bundles.bundle import sha256
from serve.bundles.repository import read_model

STUDIES = ".search"
# The held-out rows are read once, for so many trials at most: each reading more makes an accident likelier.
_FINALISTS = 3


def run_search(recipe_path: Path, out: Path, budget_s: float | None, workers: int) -> SearchOutcome:
    """Search, and write the best variants and the baseline as bundles. Raises CounterweightError if there is
    no baseline."""
    recipe = load_recipe(recipe_path)
    asked = recipe.search or Search()
    if budget_s is not None:
        asked = asked.model_copy(update={"budget_s": budget_s})
    try:
        return _run(recipe, recipe_path, out, asked, workers)
    except OSError as error:
        raise ExportFailed(
            f"{error.filename or out}: {error.strerror or error}; correct this and search again; finished "
            "trials are kept"
        ) from error


def _run(recipe: Recipe, recipe_path: Path, out: Path, asked: Search, workers: int) -> SearchOutcome:
    with (
        progress() as say,
        LocalWorkers(workers, recipe_path, out, recipe.time_limit_s, say) as local,
        locked(out / recipe.model) as home,
    ):
        analysis, end = _search(home, asked, recipe.seed, local, say)
    numbers = find_front(end.results, _FINALISTS)
    found = write_found(recipe_path, recipe.baseline, numbers, end.results)
    export = export_in_sandbox(found, out, None, False)
    model = read_model(export.folder)
    finalists = tuple(name_variant(number) for number in numbers)
    outcome = SearchOutcome(
        analysis=analysis,
        end=end,
        recipe=found,
        export=export,
        model=model,
        finalists=finalists,
        winner=find_winner(finalists, export, model, asked.goal.cpu_ms.rows),
        rows=asked.goal.cpu_ms.rows,
    )
    write_search_page(outcome.page, describe_page(outcome))
    return outcome


def _search(
    home: Path, asked: Search, seed: int, local: LocalWorkers, say: Say
) -> tuple[Analysis, SearchEnd]:
    say("reading the model and the data")
    analysis = local.analyse(asked)
    for finding in analysis.findings:
        say(finding)
    if analysis.plans is None:
        return analysis, SearchEnd(reason="no method can pay for this model on this processor")
    folder = home / STUDIES
    folder.mkdir(exist_ok=True)
    settings = asked.model_dump_json(exclude={"budget_s", "satisfied"})
    name = sha256("\n".join((analysis.origin, settings, analysis.plans.model_dump_json())).encode())
    study = Study(folder / "studies.db", name, analysis.plans, asked.sampler, seed)
    try:
        loop = SearchLoop(asked, list_rungs(analysis.search_rows), study, local)
        return analysis, loop.run(lambda number, result: say(describe_trial(number, result)))
    finally:
        study.close()
