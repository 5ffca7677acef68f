"""Small networks, each with one way in which channels travel between a layer and the next."""

import torch
from torch import nn

from tests.export.pruning.channelwise_nets import MOVES
from tests.export.pruning.concat_nets import JOINS
from tests.export.pruning.mixing_nets import MIXES
from tests.export.pruning.net_parts import Net

KINDS = MOVES | MIXES | JOINS


def build(kind: str, seed: int = 0) -> Net:
    """Return a network of this kind with different random weights, biases and statistics."""
    torch.manual_seed(seed)
    net = Net(*KINDS[kind]())
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()  # type: ignore[union-attr]
                part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            if isinstance(part, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm | nn.InstanceNorm2d | nn.PReLU):
                for value in part.parameters():
                    value.uniform_(-1.5, 1.5)
    return net.eval()
