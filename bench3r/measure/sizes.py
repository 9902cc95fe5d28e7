"""Networks without storage, of which only the sizes of parameters are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _NoInitialValues(TorchFunctionMode):
    """Leaves out what only sets values: on the meta device it would load a compiler to do so."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        name = getattr(func, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        scaled = name == "mul" and not isinstance(args[1], Tensor)
        if in_place or scaled:
            return args[0] if args else given["tensor"]
        return torch.empty(*args, **given) if func is torch.randn else func(*args, **given)


@contextmanager
def sizes_only() -> Iterator[None]:
    """Networks that are built inside have parameters of the right sizes and no values."""
    with torch.device("meta"), _NoInitialValues():
        yield
