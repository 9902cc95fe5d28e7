"""What golden files of networks are computed from: weights and images, drawn by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from bench3r.api.errors import Bench3RError, describe
from bench3r.parity.golden import Golden


def generator(name: str) -> np.random.Generator:
    """The golden files' random generator for ``name``."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def fill_value(name: str, shape: tuple[int, ...]) -> Tensor:
    """Deterministic weight [*shape] of parameter ``name`` (the files' ``weights_rule``)."""
    g = generator(name).standard_normal(shape).astype(np.float32)
    parts = name.split(".")
    if parts[-1] == "gamma" or (parts[-1] == "weight" and len(parts) > 1 and len(shape) == 1):
        value = 1 + np.float32(0.05) * g
    elif len(shape) <= 1:
        value = np.float32(0.05) * g
    elif name.endswith("weight"):
        value = g / np.float32(np.sqrt(np.prod(shape[1:])))
        value = value * np.float32(0.02) if name.endswith("flow_head.weight") else value
    else:
        value = np.float32(0.5) * g
    return torch.from_numpy(np.asarray(value, np.float32))


def fill(model: torch.nn.Module) -> None:
    """Give every parameter its deterministic value; buffers stay.

    Of a tensor with several names the last one decides.
    """
    state = model.state_dict()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        state[name] = fill_value(name, tuple(parameter.shape))
    model.load_state_dict(state)


def check_names(model: torch.nn.Module, golden: Golden) -> None:
    """Compare the state dict with the names and shapes that the file lists.

    Raises Bench3RError where they differ.
    """
    own = {name: list(value.shape) for name, value in model.state_dict().items()}
    listed = golden.case.tensors
    wrong = sorted(n for n in own.keys() | listed.keys() if own.get(n) != listed.get(n))
    if wrong:
        raise Bench3RError(
            f"{golden.path}: {len(wrong)} parameters differ from the official ones "
            f"in name or shape: {wrong[:6]}"
        )


def build_network(cls: Any, config: Callable[[], Any], golden: Golden) -> Any:
    """The network of a case with the deterministic weights.

    Raises Bench3RError where its configuration or its parameters do not fit.
    """
    try:
        model = cls(config()).eval()
    except ValidationError as error:
        raise describe(error, f"{golden.path}: config") from error
    except ValueError as error:
        raise Bench3RError(f"{golden.path}: {error}") from error
    check_names(model, golden)
    fill(model)
    return model


def random_images(*shape: int) -> Tensor:
    """The golden files' input images [*shape]."""
    return torch.from_numpy(generator("input").random(shape).astype(np.float32))
