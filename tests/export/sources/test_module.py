"""A module that cannot become a graph is refused in a sentence, before anything is done with it."""

import pytest
import torch

from export.errors import InvalidSource
from export.sources.module import count_bytes, require_sound


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            torch.nn.Sequential(torch.nn.LazyLinear(4)),
            r"^mine: the parameter 0\.weight has no shape yet .*run",
        ),
        (torch.nn.LazyBatchNorm1d(), r"weight has no shape yet"),
        (torch.nn.Linear(2, 2).bfloat16(), r"^mine: weight is bfloat16.*\.float\(\)"),
        (torch.nn.Linear(2, 2).half(), r"^mine: weight is float16.*\.float\(\).*`half`"),
    ],
    ids=["lazy layer", "lazy norm", "bfloat16", "float16"],
)
def test_refuses_what_has_no_graph(module: torch.nn.Module, message: str) -> None:
    """The error names the parameter that has no ONNX form, and the fix."""
    with pytest.raises(InvalidSource, match=message):
        require_sound("mine", module)


def test_refuses_more_weights_than_the_machine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More weights than an export on this machine can hold are refused with their size."""
    monkeypatch.setattr("export.sources.module.MAX_BYTES", 2**31)
    with torch.device("meta"):
        module = torch.nn.Embedding(2**20, 600)
    with pytest.raises(InvalidSource, match=r"mine has 2516582400 bytes of weights; the maximum is"):
        require_sound("mine", module)


def test_a_shared_weight_counts_once() -> None:
    """A shared weight counts once, as in a file."""
    module = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    assert count_bytes(module) == 64
