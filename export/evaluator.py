"""Measures variants beside the baseline in one run, and writes their bundles."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from export.artifacts import Exported, Trained
from export.cache import Cache
from export.data.datasets import Data
from export.data_source import DataRandom
from export.errors import ExportFailed
from export.max_length import find_max_length, require_max_length
from export.onnx.free_sizes import read_free_sizes
from export.onnx.graph import read_opset
from export.onnx.ranges import find_ranges
from export.outdated import reject_outdated
from export.proof.by_label.label_fit import require_maps_fit
from export.proof.constant_answers import find_unproven
from export.proof.correlation import add_correlations
from export.proof.explanations import PairedExplanations, are_wanted, require_score
from export.proof.floor import judge, require_meaningful
from export.proof.graph_stats import describe_graph
from export.proof.held_out import Answers, answers
from export.proof.occluded_rows import choose_rows, read_occlusions
from export.proof.output_quality import Meanings, find_changes, measure_outputs, measure_whole, read_meanings
from export.proof.own_metric import PairedMetric
from export.proof.quality import measure
from export.proof.repeatability.mixing import explain_dependence, find_mixer
from export.proof.repeatability.randomness import require_repeatable
from export.proof.repeatability.row_independence import find_dependence
from export.proof.speed import measure_speed
from export.proof.task import require_rules, require_task
from export.recipe import Recipe
from serve.bundles.bundle import LABELS, Bundle, Provenance, describe_file, read_bundle, write_bundle
from serve.bundles.figures import Figures, MetricFigure, Quality, Speed
from serve.bundles.meaning import Meaning, Rule
from serve.bundles.onnx_graph import Graph, count_bytes, digest_graph, files_of, read_graph
from serve.engine.session import Session, open_session
from serve.tasks.join_outputs import join_outputs
from serve.tasks.state_outputs import find_states
from serve.tasks.task_table import TASKS


class Evaluator:
    """Holds the variants to measure, loaded by production's own Session, until all are measured together."""

    def __init__(self, recipe: Recipe, trained: Trained, data: Data, cache: Cache, home: Path) -> None:
        self._recipe = recipe
        self._trained = trained
        self._data = data
        self._cache = cache
        self._home = home
        self._loaded: dict[str, tuple[Exported, Session]] = {}
        # For each variant whose rows affect each other, the first node at which they do.
        self._mixers: dict[str, str | None] = {}
        # Outputs that are state for the next request, with their inputs.
        self._states: Mapping[str, str] = {}
        # The recipe's own metric, once the baseline's is known, and its figure for each variant.
        self._metric: PairedMetric | None = None
        self._rated: dict[str, MetricFigure] = {}
        # Cache keys of the answers to keep: the baseline's, for later variants.
        self.keys: set[str] = set()

    def load(self, variant: str, exported: Exported) -> None:
        """Add a variant. The held-out split is read here, once per variant. Raises ExportFailed
        or InvalidData, also for a variant whose outputs are no longer what the baseline's are."""
        self._states = find_states(exported.signature)
        require_task(self._recipe.task, exported.signature.outputs[0], self._data, self._classes)
        require_rules(self._recipe.rules, exported.signature.outputs)
        if TASKS[self._recipe.task].label_type == "map":
            rule = self._recipe.first_rule or Rule(kind="classes")
            require_maps_fit(rule, exported.signature.outputs[0], self._data)
        session = self._open(variant, exported)
        if variant == self._recipe.baseline and self._trained.tokenizer is not None:
            require_max_length(session, self._data.calibration, self._trained.tokenizer.max_tokens)
        actual = self._answers(session, exported.graph)
        expected = actual if variant == self._recipe.baseline else self._baseline()[2]
        meanings = self._meanings(expected)
        expected, actual = (join_outputs(meanings, each) for each in (expected, actual))
        if variant != self._recipe.baseline:
            if changes := find_changes(meanings, expected, actual):
                raise ExportFailed(
                    f"{session.name} no longer answers in the form of the baseline: {changes}; clients "
                    "would misread one of them: end the variant as the baseline does, such as in a softmax"
                )
        else:
            first, meaning = next(iter(meanings.items()))
            require_meaningful(self._recipe.floor, self._recipe.task, first, meaning, self._labelled)
            if are_wanted(self._recipe):
                require_score(first, meaning)
        self._rate(variant, next(iter(meanings.values())), expected, actual)
        self._loaded[variant] = exported, session

    def _rate(self, variant: str, meaning: Meaning, expected: Answers, actual: Answers) -> None:
        """Compute the recipe's own metric, here, because the function may fail for one variant alone."""
        recipe, labels = self._recipe, self._data.held_out.labels
        if recipe.metric is None:
            return
        if self._metric is None:
            self._metric = PairedMetric(recipe.metric, expected, labels, meaning, recipe.seed)
        is_baseline = variant == recipe.baseline
        self._rated[variant] = self._metric.baseline if is_baseline else self._metric.measure(actual)

    def _open(self, variant: str, exported: Exported) -> Session:
        """Open the graph in production's Session.

        Raises ExportFailed for a random graph, and if the rows of a baseline affect each other; a variant
        whose rows affect each other because of quantization gets a run per row."""
        name = f"{self._recipe.model}/{variant}"
        sizes = read_free_sizes(exported.signature, self._data.calibration)
        session = Session(exported.graph, exported.signature, name, sizes=sizes)
        require_repeatable(session, exported.graph, self._data.held_out)
        beside = find_dependence(session, exported.graph, self._data.held_out)
        if beside is None:
            return session
        mixer = find_mixer(exported.graph, self._data.held_out, beside)
        if variant == self._recipe.baseline:
            raise ExportFailed(explain_dependence(name, exported.graph, beside, mixer))
        self._mixers[variant] = mixer
        return Session(exported.graph, exported.signature, name, alone=True, sizes=sizes)

    def measure(self, provenance: Mapping[str, Provenance], announce: Callable[[str], object]) -> None:
        """Measure all loaded variants in one run with the baseline, and write the bundles."""
        if not self._loaded:
            return
        baseline = self._recipe.baseline
        graph, session, _ = self._baseline()
        sessions = {baseline: session} | self.sessions
        graphs = {baseline: graph} | {name: item[0].graph for name, item in self._loaded.items()}
        speed = measure_speed(sessions, graphs, self._data.calibration, announce)
        longest = find_max_length(session, self._data.calibration)
        for variant, quality in self.qualities():
            announce(f"{variant}: measure and write")
            self._write(variant, quality, speed[variant], provenance[variant], longest)

    @property
    def sessions(self) -> dict[str, Session]:
        """Return the session of each loaded variant."""
        return {name: session for name, (_, session) in self._loaded.items()}

    def qualities(self) -> Iterator[tuple[str, Quality]]:
        """Yield each loaded variant with the quality of its answers to the held-out rows."""
        graph, baseline, expected = self._baseline()
        meanings = self._meanings(expected)
        expected = join_outputs(meanings, expected)
        labels = self._data.held_out.labels
        unproven = find_unproven(self._recipe, meanings, expected, labels, self._metric)
        explanations = self._explain(baseline, graph, next(iter(meanings.values())))
        for variant, (exported, session) in self._loaded.items():
            actual = expected
            if variant != self._recipe.baseline:
                actual = join_outputs(meanings, self._answers(session, exported.graph))
            quality = self._measure(meanings, expected, actual, unproven)
            found = {} if explanations is None else explanations.measure(session)
            yield variant, quality.model_copy(update={"metric": self._rated.get(variant), **found})

    def _explain(self, session: Session, graph: Graph, meaning: Meaning) -> PairedExplanations | None:
        """Explain the baseline's answers, if the recipe asks for it."""
        if not are_wanted(self._recipe):
            return None
        recipe, data = self._recipe, self._data
        rows = choose_rows(graph, data.held_out, recipe.seed)
        occlusions = read_occlusions(data.calibration, self._trained.tokenizer, recipe.seed)
        return PairedExplanations(session, meaning, rows, occlusions, recipe.seed)

    def _measure(
        self, meanings: Meanings, expected: Answers, actual: Answers, unproven: Collection[str]
    ) -> Quality:
        task, first = self._recipe.task, next(iter(expected))
        labels = self._data.held_out.labels
        quality = measure(
            task, expected[first], actual[first], labels, self._recipe.seed, meaning=meanings[first]
        )
        outputs = measure_outputs(task, meanings, expected, actual, self._recipe.seed)
        update: dict[str, object] = {"outputs": add_correlations(outputs, unproven, expected, actual)}
        if len(expected) > 1 and quality.agreement is not None and actual is not expected:
            update["agreement"] = measure_whole(task, meanings, expected, actual)
        return quality.model_copy(update=update)

    def _meanings(self, expected: Answers) -> dict[str, Meaning]:
        recipe, named = self._recipe, self._trained.named
        rules = dict.fromkeys(self._states, Rule(kind="state")) | recipe.rules
        return read_meanings(recipe.task, expected, self._data.labelled, named=named, rules=rules)

    @property
    def _classes(self) -> list[str]:
        """Return the names of the classes, as far as they have names."""
        names: list[str] = json.loads(self._trained.assets.get(LABELS, b"[]"))
        return names

    @property
    def _labelled(self) -> bool:
        return self._data.held_out.labels is not None

    def _write(
        self, variant: str, quality: Quality, speed: Speed, provenance: Provenance, longest: Mapping[str, int]
    ) -> None:
        exported, session = self._loaded[variant]
        contents = {**files_of(exported.graph), **self._trained.assets}
        graph_stats = describe_graph(exported.graph, self._data.held_out)
        figures = Figures(
            **graph_stats.model_dump(),
            model_size_bytes=count_bytes(exported.graph),
            parity=exported.parity,
            quality=quality,
            speed=speed,
            steps=exported.notes,
        )
        bundle = Bundle(
            model=self._recipe.model,
            variant=variant,
            baseline=self._recipe.baseline,
            rejected=judge(self._recipe.floor, quality, self._classes),
            random_rows=isinstance(self._recipe.data, DataRandom),
            rows="alone" if session.alone else "together",
            mixed_by=self._mixers.get(variant),
            files=tuple(describe_file(path, content) for path, content in sorted(contents.items())),
            signature=exported.signature,
            sizes=session.sizes,
            longest=dict(longest),
            ranges=find_ranges(exported.graph, self._data.calibration.counted_backwards),
            opset=read_opset(exported.graph),
            figures=figures,
            provenance=provenance,
        )
        if variant == bundle.baseline:
            # First, so that an interrupted export leaves no variant accepted beside another baseline.
            reject_outdated(self._home, bundle)
        write_bundle(self._home / variant, bundle, contents)

    def _baseline(self) -> tuple[Graph, Session, Answers]:
        """Return the baseline's graph, session and answers, from this run or from its unchanged bundle."""
        name = self._recipe.baseline
        if name in self._loaded:
            exported, session = self._loaded[name]
            return exported.graph, session, self._answers(session, exported.graph)
        session = open_session(self._home / name)
        graph = read_graph(self._home / name, read_bundle(self._home / name))
        return graph, session, self._answers(session, graph)

    def _answers(self, session: Session, graph: Graph) -> Answers:
        # The origin does not depend on the order of the rows, which a factory may change from run to run.
        key = self._cache.key("answers", digest_graph(graph), self._data.held_out.row_hashes)
        actual = self._cache.load_answers(key)
        if actual is None:
            actual = answers(session, self._data.held_out)
            self._cache.save_answers(key, actual)
        if session.name == f"{self._recipe.model}/{self._recipe.baseline}":
            self.keys.add(key)
        return actual
