"""The record of a search: which trials were asked for and what came of them, kept by Optuna in a database."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.event
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from export.search.plan import Incompatible, Plans
from export.search.search_request import Sampler
from export.search.trial import TrialResult
from export.step import Steps

optuna.logging.set_verbosity(optuna.logging.WARNING)
_RESULT = "result"
_SPENT = "spent_s"
_FLOOR = "floor"
_LEAST_VIOLATION = 1e-3
# So many random trials come before those that learn from results; there are few trials in all.
_STARTUP_TRIALS = 6


class Study:
    """Asks for trials and hears of their results. All is written down at once, so a killed search goes on.

    Each trial is chosen with its own seed from the results told before, so the same seed and the same results
    give the same trials, whatever process asks."""

    def __init__(self, path: Path, name: str, plans: Plans, sampler: Sampler, seed: int) -> None:
        """Open the study `name` in the SQLite file `path`, or begin it."""
        self._plans = plans
        self._sampler = sampler
        self._seed = seed
        self._storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
        sqlalchemy.event.listen(self._storage.engine, "connect", _write_ahead)
        self._study = optuna.create_study(
            storage=self._storage, study_name=name, direction="maximize", load_if_exists=True
        )

    def ask(self) -> tuple[int, Steps | Incompatible]:
        """Return the number of a new trial, and its steps, or why they do not go together."""
        self._study.sampler = _make_sampler(self._sampler, self._seed + len(self._study.trials))
        return self._choose(self._study.ask())

    def unfinished(self) -> Iterator[tuple[int, Steps | Incompatible]]:
        """Yield the trials that an earlier process has asked for and not told, in their order."""
        for frozen in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.sampler = _make_sampler(self._sampler, self._seed + frozen.number)
            yield self._choose(optuna.trial.Trial(self._study, frozen._trial_id))

    def tell(self, number: int, result: TrialResult) -> None:
        """Write down what came of a trial. Trials are told in the order of their numbers."""
        trial = optuna.trial.Trial(self._study, self._study.trials[number]._trial_id)
        trial.set_user_attr(_RESULT, result.model_dump(mode="json", exclude_unset=True))
        # Samplers of grids end a study by themselves, which works only where Optuna calls the trials.
        self._study.sampler = RandomSampler()
        if result.measured is None:
            self._study.tell(number, state=TrialState.PRUNED)
            return
        violation = result.measured.violation
        if result.measured.rejected is not None:
            # The floor may reject for what no single limit says.
            violation = max(violation, _LEAST_VIOLATION)
        trial.set_constraint(_FLOOR, violation)
        self._study.tell(number, result.measured.speedup.value)

    def results(self) -> dict[int, TrialResult]:
        """Return what came of each told trial, by its number."""
        return {
            trial.number: TrialResult.model_validate(trial.user_attrs[_RESULT])
            for trial in self._study.trials
            if _RESULT in trial.user_attrs and trial.state.is_finished()
        }

    def importances(self) -> dict[str, float]:
        """Return how much of the differences of the speed-up comes from each setting, the most first; empty
        if there are too few trials."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = optuna.importance.get_param_importances(self._study)
            except (ValueError, RuntimeError):
                return {}
        return {name: value for name, value in found.items() if value > 0}

    @property
    def spent_s(self) -> float:
        """The time that was spent on the search, by all processes together."""
        return float(self._study.user_attrs.get(_SPENT, 0.0))

    def spend(self, spent_s: float) -> None:
        """Write down the time that was spent on the search."""
        self._study.set_user_attr(_SPENT, spent_s)

    def close(self) -> None:
        """Close the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _choose(self, trial: optuna.trial.Trial) -> tuple[int, Steps | Incompatible]:
        try:
            return trial.number, self._plans.choose(trial)
        except Incompatible as refused:
            return trial.number, refused


def _write_ahead(connection: Any, _: object) -> None:
    """Do not wait for the disk at each write: what is told outlives this process, if not the machine."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _make_sampler(name: Sampler, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "tpe":
                return TPESampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
            case "gp":
                return GPSampler(seed=seed, n_startup_trials=_STARTUP_TRIALS)
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=10)
            case "random":
                return RandomSampler(seed=seed)
            case "grid":
                return BruteForceSampler(seed=seed)
