"""Settings that contradict each other are refused in a recipe."""

import pytest
from pydantic import TypeAdapter, ValidationError

from export.step import Step

PRUNE = {"step": "prune", "remove": "channels"}
TRAINING = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (PRUNE, "needs exactly one of ratio, multiply_adds"),
        ({**PRUNE, "ratio": 0.5, "multiply_adds": 0.5}, "needs exactly one of ratio, multiply_adds"),
        ({**PRUNE, "threshold": 0.1}, "takes no threshold"),
        ({"step": "prune", "remove": "2:4", "ratio": 0.5}, "`remove: 2:4` takes no ratio"),
        ({**PRUNE, "ratio": 1.0}, "less than 1"),
        ({**PRUNE, "ratio": 0.5, "recover": TRAINING}, "with one round, add a finetune step instead"),
        ({"step": "quantize", "method": "static", "bits": 4}, "4 bits exist only for"),
        ({"step": "quantize", "method": "dynamic", "calibrate": "entropy"}, "takes no calibrate"),
        ({"step": "quantize", "method": "dynamic", "smooth": 0.5}, "takes no smooth; only static does"),
        ({"step": "quantize", "method": "weights", "split_outliers": True}, "takes no split_outliers"),
        ({"step": "quantize", "method": "static", "smooth": 1.0}, "less than 1"),
        ({"step": "distill", "match": {}, **TRAINING}, "at least 1 item"),
        (
            {"step": "distill", "match": {"logits": 1}, "student": {}, **TRAINING},
            "either a `factory` .* or a `config`",
        ),
        ({"step": "half", "provider": "cpu"}, "provider"),
    ],
)
def test_refuses(step: dict[str, object], reason: str) -> None:
    """Contradicting settings are refused with the fix."""
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(Step).validate_python(step)
