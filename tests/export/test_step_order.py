"""Steps that make no sense one after the other are refused with the reason."""

import pytest
from pydantic import TypeAdapter

from export.step import Steps
from export.step_order import refuse_order

PRUNE = {"step": "prune", "remove": "channels", "ratio": 0.5}
SPARSE: dict[str, object] = {"step": "prune", "remove": "2:4"}
DROP = {"step": "drop_layers", "keep": 3}
TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}
FINETUNE = {"step": "finetune", **TRAINING}
AWARE = {**FINETUNE, "quantize_aware": True}
DISTILL = {"step": "distill", "match": {"logits": 1}, **TRAINING}
STUDENT = {**DISTILL, "student": {"factory": "my:student"}}
STATIC: dict[str, object] = {"step": "quantize", "method": "static"}
FUSE: dict[str, object] = {"step": "fuse"}
HALF: dict[str, object] = {"step": "half", "provider": "cuda"}


def refusal(steps: list[dict[str, object]], torch_model: bool = True, changeable: bool = True) -> str | None:
    """What `refuse_order` says of steps in plain data."""
    return refuse_order(TypeAdapter(Steps).validate_python(steps), torch_model, changeable)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [PRUNE, FINETUNE, PRUNE, FINETUNE, STATIC],
        [DROP, DISTILL, SPARSE, FINETUNE, FUSE, STATIC],
        [STUDENT, AWARE, STATIC],
        [FUSE, HALF],
    ],
)
def test_accepts(steps: list[dict[str, object]]) -> None:
    """A meaningful order of steps is accepted."""
    assert refusal(steps) is None


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([FUSE, PRUNE], "needs the torch model, but fuse works on the ONNX graph"),
        ([STATIC, FUSE], "quantized only once"),
        ([HALF, STATIC], "already sets the number format"),
        ([FUSE, FUSE], "already fused"),
        ([DISTILL, STUDENT], "a new student starts over"),
        ([SPARSE, PRUNE], "breaks the pattern of zeros"),
        ([AWARE], "trains for 8 bits, but no later step quantizes"),
        ([AWARE, {"step": "quantize", "method": "dynamic"}], "trains for 8 bits"),
    ],
)
def test_refuses(steps: list[dict[str, object]], reason: str) -> None:
    """An order of steps that makes no sense is refused with the reason."""
    assert reason in (refusal(steps) or "")


@pytest.mark.parametrize("step", [PRUNE, FINETUNE, DISTILL, DROP])
def test_an_onnx_file_has_no_layers_to_train(step: dict[str, object]) -> None:
    """Steps on torch modules are refused for an ONNX file."""
    assert "an ONNX file" in (refusal([step], torch_model=False, changeable=False) or "")


def test_an_onnx_file_can_teach() -> None:
    """An ONNX file can be the teacher of a student with its own factory."""
    assert refusal([STUDENT, STATIC], torch_model=False, changeable=False) is None


def test_a_program_may_be_trained_on() -> None:
    """A program may be fine-tuned, and may not be pruned."""
    assert refusal([FINETUNE], changeable=False) is None
    assert "cannot change" in (refusal([PRUNE], changeable=False) or "")
