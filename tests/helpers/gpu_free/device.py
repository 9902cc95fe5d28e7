"""A stand-in for a CUDA device: tensors that say "cuda" and are computed by the CPU.

:class:`StandIn` is a tensor whose C++ device is CUDA, so that torch applies to it what it applies
to CUDA tensors before any kernel is chosen: above all the *real* rules of CUDA autocast. Below
that, :class:`PretendCuda` runs each operator on the CPU tensor inside (``values=True``) or on its
shape alone (``values=False``), refuses operators that mix devices as a GPU would, notes every wait
for the device, and adds up what storages would take of GPU memory.

Not seen: backward passes (torch's autograd engine wants a real device), numerical error of GPU
kernels, speed, workspaces of cuDNN and cuBLAS, fragmentation, kernels that exist on one kind of
device only.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.gpu_free.attention import FUSED, VARIED, fused, sdpa, varied
from tests.helpers.gpu_free.flex_stand_in import FlexCall
from tests.helpers.gpu_free.memory import Memory, TracksMemory
from tests.helpers.gpu_free.rules import COPIES, CPU_ONLY, DeviceRules
from tests.helpers.gpu_free.shapes import RunsOnShapes
from tests.helpers.gpu_free.tensors import (
    CUDA,
    GIB,
    Active,
    NoCudaKernel,
    StandIn,
    StandInLimit,
    composite,
    inner,
    load_guard,
    names,
    python_body,
    tree_leaves,
    tree_map,
    written_places,
)
from tests.helpers.gpu_free.torch_cuda import replacements


class OwnOperators(TorchFunctionMode):
    """Operators that a project registered.

    Their Python body runs on the stand-ins, so that it is checked, too.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (
            torch.tensor,
            Tensor.new_tensor,
            torch.as_tensor,
        ):  # of numbers on the device: C++ would fetch each
            args = tree_map(
                lambda t: (
                    t.item() if isinstance(t, StandIn) and t.dim() == 0 and t is not args[0] else t
                ),
                args,
            )
        body = (
            python_body(func) if type(func).__name__ in ("OpOverload", "OpOverloadPacket") else None
        )
        return (body or func)(*args, **(kwargs or {}))


class PretendCuda(TracksMemory, DeviceRules, RunsOnShapes, TorchDispatchMode):
    """Use as a context.

    Inside, ``device="cuda"`` works. See the module. ``capacity``: bytes of the pretended GPU.
    """

    def __init__(
        self,
        values: bool,
        capacity: int = 80 * GIB,
        capability: tuple[int, int] = (9, 0),
        enforce: bool = False,
        project: str = "",
        allow_mixed: bool = False,
        every_chunk: bool = False,
    ) -> None:
        super().__init__()
        self.every_chunk = every_chunk  # on shapes, too: else the first ones and the last
        self.values, self.capacity, self.capability, self.enforce, self.project = (
            values,
            capacity,
            capability,
            enforce,
            project,
        )
        self.allow_mixed = allow_mixed  # note mixed devices and go on
        self.memory = Memory()
        self.waits: Counter[tuple[str, str]] = Counter()  # (operator, where)
        self.uploads: Counter[tuple[str, str]] = Counter()
        self.mixed: Counter[tuple[str, str]] = Counter()
        self.notes: Counter[str] = Counter()  # what was assumed
        self.flex: Counter[FlexCall] = Counter()
        self.varied: Counter[str] = Counter()  # kernels for packed sequences
        self.draws = torch.Generator().manual_seed(0)
        self._stack: list[Any] = []

    # -- entering and leaving

    def __enter__(self) -> Any:
        stack = contextlib.ExitStack()
        load_guard()
        for target, name, new in replacements(self):
            if hasattr(target, name):
                stack.enter_context(mock.patch.object(target, name, new))
        lifts = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(
            True
        )  # torch.tensor(..., device="cuda") makes a CPU tensor and moves it
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifts)
        overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        stack.callback(setattr, Active, "mode", Active.mode)
        Active.mode = self
        stack.enter_context(OwnOperators())
        self._stack.append(stack)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.pop().close()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """The mode again while it handles an operator, without the patches."""
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    # -- dispatch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        standins = [t for t in tensors if isinstance(t, StandIn)]
        placed = [a for a in args if isinstance(a, torch.device)]  # to(device, dtype)
        wanted = kwargs.get("device", placed[0] if placed else None)
        wanted = torch.device(wanted) if wanted is not None else None
        on_cuda = any(t.device.type == "cuda" for t in standins) or (
            wanted is not None and wanted.type == "cuda"
        )
        if self.values and not on_cuda:
            return func(*args, **kwargs)
        if func.namespace not in ("aten", "prims"):
            return self._foreign(func, args, kwargs)
        name = func._schema.name.split("::")[1]
        if name == "scaled_dot_product_attention":
            if on_cuda:
                self._same_device(func, name, tensors, kwargs)
            return sdpa(self, args, kwargs)
        if name in FUSED:
            self._same_device(func, name, tensors, kwargs)
            return fused(self, name, *args)
        if name in VARIED:
            self._same_device(func, name, tensors, kwargs)
            return varied(self, name, *args)
        if composite(func):
            with self.inside():
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if on_cuda:
            if any(part in name for part in CPU_ONLY):
                raise NoCudaKernel(f"{func} has no CUDA kernel")
            self._same_device(func, name, tensors, kwargs)
            self._count_waits(name, args, kwargs, tensors, wanted)
        device = CUDA if on_cuda else torch.device("cpu")
        if name in COPIES:
            device = (wanted or args[0].device) if name == "_to_copy" else args[0].device
            if (
                name == "_to_copy"
                and isinstance(args[0], StandIn)
                and device.type == args[0].device.type
                and (
                    kwargs.get("dtype") in (None, args[0].dtype)
                    and kwargs.get("memory_format") in (None, torch.preserve_format)
                )
            ):  # torch cannot tell "cuda" from "cuda:0" here; on a GPU nothing is copied
                return StandIn(args[0].inner, args[0].device)
        elif wanted is not None:
            device = wanted
        if name in ("is_pinned",):
            return False
        if name in ("_pin_memory", "pin_memory", "record_stream"):
            return args[0]
        return self._finish(func, name, args, kwargs, device, self._run(func, name, args, kwargs))

    def _run(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """The operator on what is inside the stand-ins."""
        kwargs = {
            k: torch.device("cpu") if k == "device" and v is not None else v
            for k, v in kwargs.items()
        }
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = None
        if self.values:
            return self._on_cpu(func, *tree_map(inner, (args, kwargs)))
        return self._on_shapes(func, name, *tree_map(inner, (args, kwargs)))

    def _on_cpu(self, func: Any, args: Any, kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError) as error:
            if "not implemented for" not in str(error) or func._schema.is_mutable:
                raise
            low = next(
                (
                    t.dtype
                    for t in tree_leaves((args, kwargs))
                    if isinstance(t, Tensor) and t.dtype in (torch.bfloat16, torch.float16)
                ),
                None,
            )
            if low is None:
                raise
            self.notes[f"{func} in {low}: no such CPU kernel, computed in float32"] += 1
            wide = tree_map(
                lambda t: t.float() if isinstance(t, Tensor) and t.dtype == low else t,
                (args, kwargs),
            )
            return tree_map(
                lambda t: t.to(low) if isinstance(t, Tensor) and t.dtype == torch.float32 else t,
                func(*wide[0], **wide[1]),
            )

    def _finish(
        self, func: Any, name: str, args: Any, kwargs: Any, device: torch.device, out: Any
    ) -> Any:
        """Results as stand-ins; what was written in place as itself."""
        written = written_places(func)
        if written:
            given = []
            for key in written:
                given.append(
                    args[key]
                    if isinstance(key, int) and key < len(args)
                    else kwargs.get(names(func)[key])
                )
            for target in given:
                if isinstance(target, StandIn) and (
                    target.shape != target.inner.shape or target.stride() != target.inner.stride()
                ):
                    raise StandInLimit(f"{func} changes the shape of its argument")
            if len(func._schema.returns) == len(given):
                return given[0] if len(given) == 1 else tuple(given)
            if not func._schema.returns:
                return None

        def wrap(t: Any) -> Any:
            if not isinstance(t, Tensor) or isinstance(t, StandIn):
                return t
            if device.type == "cpu" and (self.values or not t.is_meta):
                return t
            if device.type == "cuda":
                self._track(t)
                return StandIn(t, CUDA)
            return StandIn(t, device)

        return tree_map(wrap, out)

    def _foreign(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operator of the project or another library that was called from inside another one."""
        body = python_body(func)
        if body is None:
            raise StandInLimit(f"{func}: an operator without a Python body cannot be looked into")
        with self.inside():
            return body(*args, **kwargs)
