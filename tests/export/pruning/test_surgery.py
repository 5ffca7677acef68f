"""A fresh model gets the changes that steps made to another one, so that its weights fit."""

import torch

from export.artifacts import Context, Made
from export.forward import forward, to_tensors
from export.pruning.surgery import replay
from export.step import DropLayers, Prune
from export.steps.drop_layers import drop_layers
from export.steps.prune import prune


def test_every_change_can_be_done_again_in_order(bert: Context) -> None:
    """Channels, layers and heads can be replayed in order with the same answers."""
    made = Made(module=bert.trained.build())  # type: ignore[misc]
    made = prune(made, Prune(step="prune", remove="channels", ratio=0.3, scope="global"), bert)
    made = drop_layers(made, DropLayers(step="drop_layers", keep=2), bert)
    made = prune(made, Prune(step="prune", remove="heads", ratio=0.5), bert)
    made = prune(made, Prune(step="prune", remove="channels", ratio=0.5), bert)
    again = replay(bert.trained.build(), made.surgery, bert)  # type: ignore[misc]
    again.load_state_dict(made.module.state_dict(), strict=True)
    inputs = to_tensors(bert.data.search.inputs)
    assert torch.equal(forward(again, inputs)[0], forward(made.module, inputs)[0])


def test_a_student_takes_the_models_place(digits: Context) -> None:
    """Replaying a student builds the recipe's network."""
    student = {
        "factory": "export.recipes.digits:digits_model",
        "arguments": {"widths": [2, 2, 2], "hidden": 4},
    }
    surgery = ({"kind": "student", "student": student},)
    again = replay(digits.trained.build(), surgery, digits)  # type: ignore[misc, arg-type]
    assert again.get_submodule("head").in_features == 4
