"""Backbones by name, and the predictor that runs one with a method's changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench3r.api.method import BuildContext, Method, Predictor
from bench3r.api.presentation import Facts
from bench3r.api.reconstruction import Reconstruction
from bench3r.models.catalogue import NETWORKS
from bench3r.models.weights import load_part, load_strict, read_state_dict


def build_backbone(backbone: str, scale: str) -> Any:
    """The network ``backbone`` at ``scale`` before training.

    Raises Bench3RError or Unsupported for names without one.
    """
    network = NETWORKS.get(backbone)
    return network.part("network").build(network.config(scale))


def load_backbone(context: BuildContext) -> Any:
    """The backbone of ``context`` with its weights, unchanged by any method.

    Raises Bench3RError when they do not fit.
    """
    torch.manual_seed(context.seed)
    model = build_backbone(context.backbone, context.scale)
    if context.weights is not None:
        load_strict(model, read_state_dict(context.weights), str(context.weights))
    if context.precision == "bf16":
        model.trunk_dtype = torch.bfloat16
    model.offload_taps = context.offload_taps
    return model.to(context.device).eval()


class BackbonePredictor:
    """A backbone with its weights, changed by a method, ready on its device."""

    def __init__(self, method: Method, context: BuildContext) -> None:
        self.model: Any = load_backbone(context)
        method.apply(self.model)
        if context.fitted is not None:
            load_part(self.model, read_state_dict(context.fitted), str(context.fitted))
        self.model.to(context.device).eval()
        self.deployed: Facts = {k: v for k, v in method.deploy(self.model).items() if v is not None}

    def __call__(self, images: Tensor, **conditions: Any) -> Reconstruction:
        """Images [1, S, 3, H, W] in [0, 1] on the model's device."""
        return self.model(images)

    def counted(self, images: Tensor) -> nn.Module:
        """What FLOPs are counted of, on ``images`` [1, S, 3, H, W]."""
        return self.model

    def explain(self, images: Tensor, out: Reconstruction) -> Facts:
        """Facts for the record of ``out``, the reconstruction of ``images`` [1, S, 3, H, W].

        Not part of what is timed.
        """
        return self.deployed


def build_predictor(method: Method, context: BuildContext) -> Predictor:
    """The predictor of ``method``: its own, or the backbone that it changes.

    Whole models and controls bring their own.
    """
    return method.build(context) or BackbonePredictor(method, context)
