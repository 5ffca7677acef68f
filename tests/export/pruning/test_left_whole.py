"""Every layer that a removal of channels leaves whole is named, with the reason."""

from collections.abc import Callable
from typing import Any

import torch

from export.artifacts import Context, Made
from export.step import Prune
from export.steps.prune import prune

ContextOf = Callable[..., Context]


def left_whole(context: Context, **settings: Any) -> Any:
    """What the note says."""
    made = Made(module=context.trained.build())  # type: ignore[misc]
    return prune(made, Prune(step="prune", remove="channels", **settings), context).notes[-1]["left_whole"]


class Joined(torch.nn.Module):
    """Layers whose channels are added to the input, to a recurrent layer's, to the outputs, and to each
    other's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.added = torch.nn.Linear(8, 16), torch.nn.Linear(16, 8)
        self.fed, self.behind = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.one, self.other = torch.nn.Linear(8, 6), torch.nn.Linear(8, 6)
        self.recurrent = torch.nn.LSTM(8, 8, batch_first=True)
        self.scores = torch.nn.Linear(6, 10)
        self.last = torch.nn.Linear(10, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The ten scores."""
        x = image[:, 0] + self.added(self.first(image[:, 0]).relu())
        outputs = self.recurrent(self.fed(x).relu())[0]
        x = (outputs + self.behind(x))[:, -1]
        scores = self.scores((self.one(x) + self.other(x)).relu())
        return scores + self.last(scores.relu())  # type: ignore[no-any-return]


def test_what_is_joined_to_something_that_stays_is_named(context_of: ContextOf) -> None:
    """The note gives the reason for each layer that stays whole."""
    recurrent = "its channels go into recurrent or are added to its outputs, and recurrent and attention"
    outputs = "its channels are the model's outputs, or are added to them"
    assert left_whole(context_of(Joined), ratio=0.5, keep=["other"]) == {
        "added": "its channels are added to an input or a constant of the model",
        "fed": f"{recurrent} modules stay whole",
        "behind": f"{recurrent} modules stay whole",
        "recurrent": "recurrent and attention modules stay whole",
        "one": "its channels can be removed only with those of other, which the settings exclude",
        "scores": outputs,
        "last": outputs,
    }


def test_a_layer_of_which_the_share_takes_nothing_is_named(context_of: ContextOf) -> None:
    """A layer from which the ratio removes no channel is named in the note."""
    wide, narrow = torch.nn.Linear(64, 16), torch.nn.Linear(16, 6)
    layers = (torch.nn.Flatten(), wide, torch.nn.ReLU(), narrow, torch.nn.ReLU(), torch.nn.Linear(6, 10))
    context = context_of(lambda: torch.nn.Sequential(*layers))
    assert left_whole(context, ratio=0.06) == {"3": "the requested share removes none of its 6 channels"}
