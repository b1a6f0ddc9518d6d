"""The first values of a network's tensors, drawn from a seed alone."""

import torch
from torch import nn


def he_initialise(network: nn.Module, *, seed: int) -> torch.Generator:
    """Fill convolutions and linear layers by He et al. 2015, batch norm with the identity and biases with zero.

    In place: normal, fan in, gain of ReLU. Returns the generator for what is still to be drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    return generator
