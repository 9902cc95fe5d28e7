"""What tests of efficient attention share: changed models, and a tensor that can be counted."""

from __future__ import annotations

import copy

from torch import nn

from bench3r.api.method import METHODS


def changed(model, name: str, **options):
    """A copy of ``model`` as the method changes it."""
    cls = METHODS.get(name)
    out = copy.deepcopy(model)
    method = cls(cls.Options(**options))
    method.apply(out)
    method.deploy(out)
    return out.eval()


class Counted:
    """One tensor in the shape of a reconstruction, for the counter."""

    extras: dict = {}

    def __init__(self, x):
        self.x = x

    def tensors(self):
        return {"x": self.x}


class Wrapped(nn.Module):
    def forward(self, x):
        return Counted(x)
