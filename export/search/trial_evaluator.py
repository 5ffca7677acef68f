"""Builds and measures trials, in the process that runs the user's code."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.cache import Cache
from export.cpu import read_cpu
from export.evaluator import Evaluator
from export.factories import digest_code
from export.model_and_data import read_model_and_data
from export.pipeline import CACHE_FOLDER
from export.proof.floor import judge
from export.proof.speed import measure_batch
from export.provenance import describe_origin, digest_origin
from export.recipe import Recipe
from export.search.analyse import analyse
from export.search.plan import list_steps
from export.search.race import decide
from export.search.search_analysis import Analysis
from export.search.search_request import Search
from export.search.trial import Measured, TrialRequest, TrialResult
from export.search.violation import measure_violation
from export.step import Steps
from export.variant_builder import VariantBuilder
from serve.base.errors import CounterweightError
from serve.bundles.bundle import sha256
from serve.bundles.figures import Quality
from serve.bundles.onnx_graph import digest_graph


class TrialEvaluator:
    """Holds the model and the data of a recipe, for one trial after the other."""

    def __init__(self, recipe: Recipe, folder: Path, out: Path, announce: Callable[[str], object]) -> None:
        """Read the model and the data of the recipe in `folder`. The repository `out` gets no bundle, only
        cached work. Raises InvalidSource or InvalidData."""
        self._recipe = recipe
        self._folder = folder
        self._home = out / recipe.model
        self._announce = announce
        self._trained, self._data = read_model_and_data(self._recipe, self._folder)

    def analyse(self, search: Search) -> Analysis:
        """Return what can make the model lighter."""
        recipe = self._recipe.model_copy(update={"variants": {self._recipe.baseline: ()}})
        builder = VariantBuilder(recipe, self._trained, self._data, self._open_cache(recipe), self._announce)
        graph = builder.make(recipe.baseline).graph
        plans, findings = analyse(self._recipe, search, self._trained, self._data, graph)
        return Analysis(
            plans=plans, findings=findings, search_rows=len(self._data.search), origin=self._digest(search)
        )

    def _digest(self, search: Search) -> str:
        """Return a digest of all that decides a trial's figures beside its steps, the processor included."""
        recipe, folders = self._recipe, [self._folder, Path.cwd()]
        named = {name for step in list_steps(search.steps or ()) for name in _name_factories(step.settings)}
        rated = [] if recipe.metric is None else [recipe.metric.function]
        facts = [
            describe_origin(recipe, self._folder, self._trained, self._data),
            recipe.model_dump(mode="json", include={"floor", "metric", "outputs", "opset", "explanations"}),
            digest_code(sorted({*named, *rated}), folders),
            read_cpu().model_dump(mode="json"),
        ]
        return sha256(json.dumps(facts, sort_keys=True).encode())

    def run(self, request: TrialRequest) -> TrialResult:
        """Build and measure one variant as far as it can win. An error of the trial's is its result."""
        wall_s, cpu_s = time.monotonic(), time.process_time()
        try:
            result = self._run(request)
        except CounterweightError as error:
            result = TrialResult(outcome="failed", steps=request.steps, reason=str(error))
        return result.model_copy(
            update={"wall_s": time.monotonic() - wall_s, "cpu_s": time.process_time() - cpu_s}
        )

    def _run(self, request: TrialRequest) -> TrialResult:
        name = f"trial-{request.number}"
        if reason := self._recipe.refuse(request.steps):
            return TrialResult(outcome="refused", steps=request.steps, reason=reason)
        recipe = self._with(name, request.steps)
        cache = self._open_cache(recipe)
        builder = VariantBuilder(recipe, self._trained, self._data, cache, self._announce)
        exported = {variant: builder.make(variant) for variant in recipe.variants}
        digest = digest_graph(exported[name].graph)
        result = TrialResult(outcome="failed", steps=request.steps, digest=digest)
        for rows in request.rungs:
            self._announce(f"{name}: measuring on {rows} rows")
            search = replace(self._data, held_out=self._data.search.first(rows))
            evaluator = Evaluator(recipe, self._trained, search, cache, self._home)
            for variant, each in exported.items():
                evaluator.load(variant, each)
            measured = self._measure(evaluator, name, rows, request.rows)
            result = result.model_copy(update={"measured": measured, "outcome": "measured"})
            outcome = decide(measured, request.beat)
            if outcome != "go on" and rows < request.rungs[-1]:
                return result.model_copy(update={"outcome": outcome})
        return result

    def _measure(self, evaluator: Evaluator, name: str, rows: int, batch: int) -> Measured:
        speed = measure_batch(evaluator.sessions, self._data.calibration, batch)[name]
        quality = dict(evaluator.qualities())[name]
        floor = self._recipe.floor
        return Measured(
            rows=rows,
            quality=_shorten(quality),
            speedup=speed.speedup,
            rejected=judge(floor, quality),
            violation=measure_violation(floor, quality, worse=True),
            sure_violation=measure_violation(floor, quality, worse=False),
        )

    def _with(self, name: str, steps: Steps) -> Recipe:
        recipe = self._recipe
        return recipe.model_copy(update={"variants": {recipe.baseline: (), name: steps}})

    def _open_cache(self, recipe: Recipe) -> Cache:
        """Return the cache that an export of this variant would use."""
        origin = describe_origin(recipe, self._folder, self._trained, self._data)
        return Cache(self._home / CACHE_FOLDER, digest_origin(origin))


def _shorten(quality: Quality) -> Quality:
    """Remove what grows with the rows or the classes."""
    return quality.model_copy(update={"disagreements": (), "confusions": (), "classes": ()})


def _name_factories(settings: Any) -> Iterator[str]:
    """Yield each factory that the settings of a step may name."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if name == "factory":
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _name_factories(value)
    elif isinstance(settings, list | tuple):
        for each in settings:
            yield from _name_factories(each)
