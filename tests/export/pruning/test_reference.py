"""Two answers are compared column by column, up to rounding."""

import pytest
import torch

from export.pruning.reference import Reference


@pytest.mark.parametrize(("off", "differs"), [(0.0, False), (1e-9, False), (0.03, True)])
def test_a_masked_class_hides_nothing(off: float, differs: bool) -> None:
    """A difference is found beside a masked class of -1e9."""
    module = torch.nn.Linear(4, 2)
    reference = Reference(module, {"input": torch.ones(3, 4)})
    wanted = (torch.tensor([[1.0, -1e9], [2.0, -1e9]], dtype=torch.float64),)
    came = (wanted[0] + torch.tensor([off, 0.0], dtype=torch.float64),)
    assert (reference.find_difference(came, wanted) is not None) == differs
