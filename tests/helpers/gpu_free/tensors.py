"""Tensors that say they lie on a CUDA device.

Torch applies to them what it applies to CUDA tensors.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # before anything is patched: it keeps a table of torch.cuda's functions
from torch import Tensor

from bench3r.attention.segments import segment_attention

GIB = 2**30
# operators that torch.library.custom_op did not make, and so does not list
MADE_BY_HAND: dict[str, Callable[..., Any]] = {"bench3r::segment_attention": segment_attention}
CUDA = torch.device("cuda", 0)


class Active:
    """The pretended device that is in use, None outside of one."""

    mode: Any = None


@functools.cache
def load_guard() -> None:
    """Give a torch without CUDA a device guard for it.

    Needs a C++ compiler (g++), which torch.compile needs as well.
    """
    if torch.version.cuda is not None:
        raise StandInLimit("this torch is built with CUDA: run the real thing, or a CPU build")
    source = Path(__file__).with_name("guard.cpp")
    root = Path(torch.__file__).parent
    mark = hashlib.sha256(source.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    library = (
        Path(tempfile.gettempdir()) / f"gpu_free_guard_{getattr(os, 'getuid', int)()}_{mark}.so"
    )
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        command = [
            os.environ.get("CXX", "g++"),
            "-std=c++20",
            "-O1",
            "-w",
            "-shared",
            "-fPIC",
            str(source),
            f"-I{root / 'include'}",
            f"-L{root / 'lib'}",
            "-lc10",
            "-o",
            str(made),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise StandInLimit("no C++ compiler: install g++") from error
        except subprocess.CalledProcessError as error:
            raise StandInLimit(f"guard.cpp does not compile: {error.stderr[-500:]}") from error
        os.replace(made, library)
    ctypes.CDLL(str(library))


class DeviceMismatch(RuntimeError):
    """Operands on different devices, or a generator of another device."""


class NoCudaKernel(RuntimeError):
    """An operator that has no CUDA kernel."""


class StandInLimit(RuntimeError):
    """The stand-in cannot run this; nothing is said about a GPU."""


class StandIn(Tensor):
    """A tensor that says it lies on ``device``.

    ``inner`` is a CPU tensor, or a meta tensor when only its shape is known.
    """

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> StandIn:
        with torch.inference_mode(False):  # else it could not become a view of a parameter
            self = torch.Tensor._make_wrapper_subclass(
                cls,
                inner.shape,
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                layout=inner.layout,
                device=device,
                requires_grad=False,
            )
        self.inner = inner
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        held = "shape alone" if self.inner.is_meta else "values"
        return f"StandIn({list(self.shape)}, {self.dtype}, {self.device}, {held})"

    def detach(self) -> StandIn:
        """The same storage as a tensor of its own.

        torch makes parameters of it, and autocast keeps copies of no view.
        """
        return StandIn(self.inner, self.device)

    def tolist(self) -> Any:
        """As of any tensor; torch refuses it to subclasses."""
        mode = Active.mode
        assert mode is not None
        if self.device.type == "cuda":
            mode.waits[("tolist", mode.place())] += 1
        return mode._draw(self.inner).tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = self.detach().clone()
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mode = Active.mode
        if mode is None:
            raise StandInLimit(f"{func}: a stand-in tensor outlived its PretendCuda")
        return mode.__torch_dispatch__(func, types, args, kwargs)


class CudaGenerator(torch.Generator):
    """A random generator that says it is of a CUDA device.

    C++ hands on another object for it, so all are remembered.
    """

    made: dict[int, CudaGenerator] = {}

    def __init__(self) -> None:
        super().__init__()
        self.made[self._cdata] = self

    @property
    def device(self) -> torch.device:
        return CUDA


def tree_map(change: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """``change`` of every leaf of nested lists, tuples and dicts.

    Plain code, because it runs for every operator.
    """
    kind = type(tree)
    if kind is dict:
        return {k: tree_map(change, v, *(o[k] for o in others)) for k, v in tree.items()}
    if kind in (tuple, list) or (
        isinstance(tree, (tuple, list)) and not isinstance(tree, torch.Size)
    ):
        parts = [tree_map(change, v, *(o[i] for o in others)) for i, v in enumerate(tree)]
        return parts if kind is list else tuple(parts)
    return change(tree, *others)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dicts."""
    found: list[Any] = []
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(reversed(item.values()))
        elif isinstance(item, (tuple, list)):
            waiting.extend(reversed(item))
        else:
            found.append(item)
    return found


def inner(t: Any) -> Any:
    """What a stand-in holds; anything else as it is."""
    return t.inner if isinstance(t, StandIn) else t


_WRITTEN: dict[Any, list[int]] = {}


def written_places(func: Any) -> list[int]:
    """Places of the arguments that ``func`` writes to."""
    if func not in _WRITTEN:
        arguments = func._schema.arguments
        _WRITTEN[func] = [
            i for i, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write
        ]
    return _WRITTEN[func]


def names(func: Any) -> list[str]:
    return [a.name for a in func._schema.arguments]


_COMPOSITE: dict[Any, bool] = {}


def composite(func: Any) -> bool:
    if func not in _COMPOSITE:
        _COMPOSITE[func] = torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        )
    return _COMPOSITE[func]


def python_body(func: Any) -> Callable[..., Any] | None:
    """The function that an operator of Bench3R's was made of; None for all others."""
    from torch._library.custom_ops import OPDEFS

    name = func._schema.name if hasattr(func, "_schema") else func._qualified_op_name
    if name in MADE_BY_HAND:
        return MADE_BY_HAND[name]
    definition = OPDEFS.get(name)
    return None if definition is None else definition._init_fn
