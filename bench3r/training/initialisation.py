"""Weights before training from scratch."""

from __future__ import annotations

import torch
from torch import nn

from bench3r.models.catalogue import NETWORKS

TABLES = ("pos_embed", "_token", "_tokens")  # ends of the names of tokens and position tables


def initialise(model: nn.Module) -> None:
    """Small random weights: truncated normal 0.02 for linear layers, tokens and tables.

    The network's entry in the catalogue names biases that start elsewhere, and layers that keep
    torch's larger weights.
    """
    network = NETWORKS.all().get(str(getattr(model, "name", "")))
    kept = network.keeps_default_weights if network else ()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not any(part in name for part in kept):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    first_biases = network.first_biases if network else {}
    for name, parameter in model.named_parameters():
        if name.endswith(TABLES):
            nn.init.trunc_normal_(parameter, std=0.02)
        for ending, start in first_biases.items():
            if name.endswith(ending):
                with torch.no_grad():
                    parameter.copy_(torch.tensor(start))
