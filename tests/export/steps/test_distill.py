"""Distillation makes a model answer like the baseline, by each kind of match."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.artifacts import Context, Made, Trained
from export.data.datasets import Data, read_data
from export.errors import InvalidData, StepFailed
from export.pruning.stack import keep_layers
from export.recipes.digits import digits_model
from export.reproducible import seed_everything
from export.sources.task_heads import Pooling, wrap
from export.step import Distill
from export.steps.distill import distill
from export.training.answers import module_answers
from export.training.checkpoint import write_checkpoint
from export.training.scores import likeness_to
from export.training.teacher import teacher_answers
from export.training.train import fit
from serve.bundles.meaning import Task


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(*match: str, **changes: Any) -> Distill:
    """Two epochs that match these."""
    usual = {"step": "distill", "epochs": 2, "learning_rate": 0.003, "batch_size": 8}
    return Distill.model_validate(usual | {"match": dict.fromkeys(match, 1.0)} | changes)


def make_bert(task: Task = "embedding", width: int = 16, heads: int = 2, layers: int = 4) -> torch.nn.Module:
    """A tiny transformer, the same each time; its weights are large, so that its layers matter."""
    import transformers

    seed_everything(3)
    config: Any = transformers.BertConfig(
        vocab_size=40,
        hidden_size=width,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        initializer_range=0.3,
        hidden_dropout_prob=0.0,
    )
    config.num_labels = 3
    if task == "embedding":
        return wrap(transformers.BertModel(config), task, Pooling())
    if task == "token_classification":
        return wrap(transformers.BertForTokenClassification(config), task, None)
    return wrap(transformers.BertForSequenceClassification(config), task, None)


def make_texts(rows: int = 64) -> Data:
    """Unlabelled rows of 4 to 9 tokens."""
    draw = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for name in ("train", "calibration", "search", "held_out"):
        lengths = draw.integers(4, 10, rows)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        splits[name] = ({"input_ids": draw.integers(1, 40, mask.shape) * mask, "attention_mask": mask}, None)
    return read_data(splits, "make_texts")


def make_context(folder: Path, trained: Trained, data: Data, task: Task) -> Context:
    """Return the context of a step that works in `folder`."""
    return Context(trained=trained, task=task, data=data, seed=0, scratch=folder / "s", logs=folder / "l")


def of_texts(folder: Path, task: Task = "embedding") -> Context:
    """On the tiny transformer."""
    trained = Trained(name="bert", sha256=f"{task:0<64}", build=lambda: make_bert(task), assets={})
    return make_context(folder, trained, make_texts(), task)


def of_digits(folder: Path, data: Data) -> Context:
    """On a network that reads digits."""

    def build() -> torch.nn.Module:
        seed_everything(0)
        return fit(
            digits_model([4, 8, 8], 16), data, settings("labels", learning_rate=0.01, batch_size=64), 0
        )

    trained = Trained(name="digits", sha256="e" * 64, build=build, assets={})
    return make_context(folder, trained, data, "classification")


def likeness(module: torch.nn.Module, context: Context) -> float:
    """How much the module answers like the baseline on the held-out split."""
    held_out = context.data.held_out
    return likeness_to(context.task, teacher_answers(context, held_out), held_out)(module)


def halved(task: Task = "embedding") -> Made:
    """The transformer without every second layer."""
    module = make_bert(task)
    name = next(path for path, _ in module.named_modules() if path.endswith("encoder.layer"))
    keep_layers(module, name, [0, 3])
    return Made(module=module, surgery=({"kind": "drop_layers", "stack": name, "kept": [0, 3]},))


@pytest.mark.parametrize(
    "match",
    [["embeddings"], ["similarities"], ["hidden"], ["attention"], ["embeddings", "hidden", "attention"]],
)
def test_whatever_is_matched_comes_closer(tmp_path: Path, match: list[str]) -> None:
    """After layers were dropped, each match makes embeddings of unseen texts closer to the baseline's."""
    context, made = of_texts(tmp_path), halved()
    before = likeness(made.module, context)
    after = distill(made, settings(*match, epochs=6), context)
    assert likeness(after.module, context) > before + 0.01
    assert after.surgery == made.surgery
    assert after.notes[-1]["step"] == "distill"


def test_nothing_of_the_matching_stays(tmp_path: Path) -> None:
    """Distillation leaves no hook or projection, and restores the implementation of attention."""
    context, made = of_texts(tmp_path), halved()
    transformer: Any = made.module.get_submodule("transformer")
    transformer.set_attn_implementation("sdpa")
    names = list(made.module.state_dict())
    module = distill(made, settings("hidden", "attention"), context).module
    assert list(module.state_dict()) == names
    assert transformer.config._attn_implementation == "sdpa"
    assert not any(part._forward_hooks for part in module.modules())


@pytest.mark.parametrize("match", [["logits"], ["logits", "hidden"]])
@pytest.mark.parametrize("task", ["classification", "token_classification"])
def test_classes_are_learnt_without_labels(tmp_path: Path, task: Task, match: list[str]) -> None:
    """Without labels the shortened classifier's agreement with the baseline rises by more than 0.05."""
    context, made = of_texts(tmp_path, task), halved(task)
    before = likeness(made.module, context)
    after = distill(made, settings(*match, epochs=6), context).module
    assert likeness(after, context) > before + 0.05


def test_a_student_learns_from_its_teacher(tmp_path: Path, data: Data) -> None:
    """A smaller student learns most of the baseline's answers, and the earlier surgery is replaced by its
    own."""
    context = of_digits(tmp_path, data)
    student = {
        "factory": "export.recipes.digits:digits_model",
        "arguments": {"widths": [4, 4, 4], "hidden": 16},
    }
    made = Made(
        module=torch.nn.Identity(), surgery=({"kind": "channels"},), pruned=frozenset({"head.weight"})
    )
    changes = {"student": student, "learning_rate": 0.01, "batch_size": 64, "epochs": 4}
    after = distill(made, settings("logits", "labels", **changes), context)
    assert likeness(after.module, context) > 0.5
    assert after.pruned == frozenset()
    (surgery,) = after.surgery
    assert surgery["kind"] == "student"


def test_a_narrower_student_matches_hidden_states_by_a_projection(tmp_path: Path) -> None:
    """A student with other widths matches hidden states by a projection that is not kept."""
    context = of_texts(tmp_path, "classification")

    def narrow(_: Any) -> torch.nn.Module:
        return make_bert("classification", width=8, layers=2)

    context = replace(context, trained=replace(context.trained, build_with=narrow))
    changes = settings("logits", "hidden", student={"config": {"hidden_size": 8}})
    module = distill(Made(module=torch.nn.Identity()), changes, context).module
    assert list(module.state_dict()) == list(narrow(None).state_dict())


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    """The same seed gives the same weights, including projections and dropout."""
    one, other = (
        distill(halved(), settings("hidden", "attention"), of_texts(tmp_path / name)).module.state_dict()
        for name in ("one", "other")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_of_another_output_is_an_error(tmp_path: Path, data: Data) -> None:
    """A student with an output of another size is refused, with both shapes."""
    student = {"factory": "torch.nn:Flatten"}
    with pytest.raises(StepFailed, match=r"the student answers \[2, 64\], the baseline \[2, 10\]"):
        distill(
            Made(module=torch.nn.Identity()), settings("logits", student=student), of_digits(tmp_path, data)
        )


def test_a_graph_shows_no_layers(tmp_path: Path) -> None:
    """Matching hidden states of an ONNX graph is refused."""
    context, made = of_texts(tmp_path), halved()
    # The teacher's answers are computed here, so that the graph need not be there later.
    (
        teacher_answers(context, context.data.search),
        teacher_answers(context, context.data.require_train("test")),
    )
    context = replace(context, trained=replace(context.trained, build=None, graph=b""))
    with pytest.raises(StepFailed, match="bert is an ONNX graph: match its answers"):
        distill(made, settings("hidden"), context)


def test_only_transformers_give_attention_maps(tmp_path: Path, data: Data) -> None:
    """`match: attention` is refused for a convolutional network, which has no attention maps."""
    context = of_digits(tmp_path, data)
    context = replace(context, trained=replace(context.trained, sha256="b" * 64, build=stacked))
    with pytest.raises(StepFailed, match="which only transformers models give; Sequential has none"):
        distill(Made(module=stacked()), settings("attention"), context)


def stacked() -> torch.nn.Module:
    """Two equal layers on flat digits."""
    layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Linear(64, 64))
    return torch.nn.Sequential(torch.nn.Flatten(), layers)


def test_maps_of_other_heads_cannot_be_compared(tmp_path: Path) -> None:
    """Attention maps with different numbers of heads are refused."""
    with pytest.raises(StepFailed, match="layer 0 has 4 heads, the baseline's layer 0 has 2"):
        distill(Made(module=make_bert(heads=4)), settings("attention"), of_texts(tmp_path))


@pytest.mark.parametrize(
    ("task", "match", "way_out"),
    [
        ("embedding", "logits", "embeddings or similarities"),
        ("classification", "embeddings", "labels or logits"),
    ],
)
def test_what_the_task_does_not_have_cannot_be_matched(
    tmp_path: Path, task: Task, match: str, way_out: str
) -> None:
    """A match that the task does not have is refused with the possible ones."""
    with pytest.raises(
        StepFailed, match=f"`match: {match}` has no meaning for the task {task}; match {way_out}"
    ):
        distill(halved(task), settings(match), of_texts(tmp_path, task))


def test_labels_are_needed_only_to_match_them(tmp_path: Path) -> None:
    """`match: labels` without labels is refused, and the error suggests logits."""
    with pytest.raises(InvalidData, match=r"`match: labels` needs labels, .*match logits alone"):
        distill(halved("classification"), settings("labels"), of_texts(tmp_path, "classification"))


def test_an_interrupted_distillation_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted distillation continues with its projections and ends with the same weights."""
    whole = distill(halved(), settings("hidden"), of_texts(tmp_path / "whole")).module

    def die(path: Path, state: dict[str, Any]) -> None:
        write_checkpoint(path, state)
        raise KeyboardInterrupt

    context = of_texts(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr("export.training.train.write_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            distill(halved(), settings("hidden"), context)
    continued = distill(halved(), settings("hidden"), context).module
    split = context.data.held_out
    assert np.array_equal(module_answers(continued, split), module_answers(whole, split))


def of_numbers(folder: Path, *end: torch.nn.Module) -> Context:
    """On a network with one number a row."""
    draw = np.random.default_rng(0)
    splits = {
        name: ({"input": draw.normal(size=(400, 4)).astype(np.float32)}, None)
        for name in ("train", "calibration", "search", "held_out")
    }

    def build() -> torch.nn.Module:
        seed_everything(0)
        layers = torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)
        with torch.no_grad():
            layers[2].weight.mul_(20)
        return torch.nn.Sequential(*layers, *end).eval()

    trained = Trained(name="price", sha256=f"{len(end):f<64}", build=build, assets={})
    return make_context(folder, trained, read_data(splits, "make"), "classification")


@pytest.mark.parametrize("end", [(), (torch.nn.Sigmoid(),)], ids=["number", "sigmoid"])
def test_one_number_is_learned(tmp_path: Path, end: tuple[torch.nn.Module, ...]) -> None:
    """An output of one number a row is learned to a likeness above 0.95."""
    context = of_numbers(tmp_path, *end)
    seed_everything(1)
    student = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1), *end)
    before = likeness(student, context)
    usual = settings("logits", epochs=30, learning_rate=0.02, batch_size=32)
    after = likeness(distill(Made(module=student), usual, context).module, context)
    assert before < 0.5
    assert after > 0.95


def test_a_student_of_another_form_is_an_error(tmp_path: Path, data: Data) -> None:
    """A student whose output has another form is refused before the training."""
    context = of_digits(tmp_path, data)
    student = torch.nn.Sequential(digits_model([4, 8, 8], 16), torch.nn.Softmax(-1))
    with pytest.raises(StepFailed, match=r"the variant's lie in 0.* and sum to one .*before training"):
        distill(Made(module=student), settings("logits"), context)


@pytest.mark.parametrize("width", [3, 1], ids=["three numbers", "one without a dimension"])
def test_numbers_that_nobody_calls_scores_are_learned(tmp_path: Path, width: int) -> None:
    """Undeclared numbers are learned: three with a shared level, and one a row without a dimension."""
    flat = torch.nn.Flatten(0 if width == 1 else 1)

    def build() -> torch.nn.Module:
        seed_everything(0)
        layer = torch.nn.Linear(4, width)
        with torch.no_grad():
            layer.weight.add_(2)
        return torch.nn.Sequential(layer, flat).eval()

    trained = Trained(name="prices", sha256=f"{width:a<64}", build=build, assets={})
    context = make_context(tmp_path, trained, of_numbers(tmp_path).data, "classification")
    seed_everything(1)
    student = torch.nn.Sequential(torch.nn.Linear(4, width), flat)
    usual = settings("logits", epochs=30, learning_rate=0.02, batch_size=32)
    module = distill(Made(module=student), usual, context).module
    came = module_answers(module, context.data.held_out)
    wanted = teacher_answers(context, context.data.held_out)
    assert np.square(came - wanted).mean() < 0.01 * wanted.var()
