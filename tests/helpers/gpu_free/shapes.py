"""Operators on shapes alone, so that a model of published size runs in seconds.

Small values and indices are kept.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from tests.helpers.gpu_free.tensors import (
    StandInLimit,
    names,
    tree_leaves,
    tree_map,
    written_places,
)

SMALL = 4096  # values of a float tensor of no more elements are kept when only shapes are run
INDICES = 1 << 25  # the same for integers and booleans, which decide shapes
DRAWN = 1 << 22  # elements of floats that are drawn at random where content has to decide
CPU_INDEX = {
    "index",
    "_unsafe_index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
    "_unsafe_index_put",
}  # may lie on the CPU


class RunsOnShapes:
    """The part of the pretended device that runs an operator on shapes."""

    notes: Counter[str]
    draws: torch.Generator

    def _on_shapes(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """On values where they are known and few (indices, sizes, thresholds), else on shapes."""
        leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if not any(t.is_meta for t in leaves):
            if not leaves:
                return self._factory(func, name, args, kwargs)
            if written_places(func) or name in (
                "view",
                "_unsafe_view",
                "expand",
                "as_strided",
                "detach",
                "alias",
            ):
                return func(*args, **kwargs)
            if max(t.numel() for t in leaves) <= INDICES:
                return tree_map(_forget, func(*args, **kwargs))
            args, kwargs = _to_meta((args, kwargs))
        written = written_places(func)
        if written:
            return self._write(func, name, args, kwargs, written)
        if name == "_local_scalar_dense":
            return self._draw(args[0]).item()
        if (
            name == "_to_copy"
            and kwargs.get("device") is not None
            and args[0].numel() <= SMALL
            and not kwargs.get("dtype")
        ):
            return args[0]
        args, kwargs = self._mask_indices(name, args, kwargs)
        try:
            shaped = _to_meta((args, kwargs))
            if "device" in shaped[1]:
                shaped[1]["device"] = torch.device("meta")
            out = _shape_of(func, *shaped)
        except (NotImplementedError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _needs_values(error):
                raise
            return self._by_content(func, name, args, kwargs)
        if (
            any(isinstance(t, Tensor) and _countable(t) for t in tree_leaves(out))
            and torch.Tag.view_copy not in func.tags
        ) and (
            not all(_countable(t) and t.is_meta for t in leaves if t.is_meta)
            or name
            in (
                "eq",
                "ne",
            )
        ):
            return self._with_indices(func, name, args, kwargs, out)
        return out

    def _factory(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        shaped = {**kwargs, "device": torch.device("meta")}
        if shaped.get("generator") is not None:
            shaped["generator"] = None
        try:
            probe = func(*args, **shaped)
        except (NotImplementedError, RuntimeError, TypeError):
            return func(*args, **kwargs)
        numel = max((t.numel() for t in tree_leaves(probe) if isinstance(t, Tensor)), default=0)
        counts = all(_countable(t, None) for t in tree_leaves(probe) if isinstance(t, Tensor))
        return func(*args, **kwargs) if numel <= (INDICES if counts else SMALL) else probe

    def _write(self, func: Any, name: str, args: Any, kwargs: Any, written: list[int]) -> Any:
        """In place.

        A target whose values were known forgets them, an index target takes drawn ones.
        """
        target = args[written[0]] if written[0] < len(args) else kwargs[names(func)[written[0]]]
        if target.is_meta:
            if name in (
                "copy_",
                "fill_",
                "zero_",
                "normal_",
                "uniform_",
                "random_",
                "trunc_normal_",
            ):
                return target
            shaped = _to_meta(self._mask_indices(name, args, kwargs))
            shaped[1].pop("generator", None)
            return func(*shaped[0], **shaped[1])
        if _countable(target) or target.numel() <= SMALL:
            return func(
                *tree_map(lambda t: self._draw(t) if isinstance(t, Tensor) else t, args), **kwargs
            )
        raise StandInLimit(f"{func}: a large float tensor with values is written to")

    def _draw(self, t: Tensor) -> Tensor:
        """Values for a tensor of which only the shape is known.

        Floats uniform in (0, 1), counts one, masks true.
        """
        if not t.is_meta:
            return t
        if t.numel() > 4 * INDICES:
            raise StandInLimit(f"content of {t.numel():,} elements would have to decide here")
        if t.is_floating_point():
            self.notes["content decides: drawn at random"] += 1
            return torch.rand(t.shape, generator=self.draws).to(t.dtype)
        self.notes["content decides: ones assumed"] += 1
        return torch.ones(t.shape, dtype=t.dtype)

    def _by_content(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        drawn = tree_map(lambda t: self._draw(t) if isinstance(t, Tensor) else t, (args, kwargs))
        out = func(*drawn[0], **drawn[1])
        return tree_map(_forget, out)

    def _with_indices(self, func: Any, name: str, args: Any, kwargs: Any, out: Any) -> Any:
        """Integers and masks that follow from unknown floats.

        Computed from drawn floats, or drawn themselves if many.
        """
        leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if all(t.numel() <= DRAWN for t in leaves):
            real = self._by_content(func, name, args, kwargs)
            return tree_map(
                lambda a, b: b if isinstance(a, Tensor) and _countable(a) else a, out, real
            )

        def draw(t: Any) -> Any:
            if not isinstance(t, Tensor) or not _countable(t):
                return t
            self.notes[f"{name}: indices drawn at random"] += 1
            if t.dtype == torch.bool:
                return torch.rand(t.shape, generator=self.draws) < 0.5
            source = leaves[0]
            ranked = name in ("sort", "argsort", "topk")
            numbers = [a for a in args[1:] if isinstance(a, int) and not isinstance(a, bool)]
            axis = kwargs.get("dim", numbers[-1] if numbers else -1)
            axis = axis if isinstance(axis, int) and -source.dim() <= axis < source.dim() else -1
            if ranked:
                axis = -1 if name == "topk" else axis
                shape = [1] * t.dim()
                shape[axis] = t.shape[axis]
                return (
                    torch.arange(t.shape[axis], dtype=t.dtype)
                    .view(shape)
                    .expand(t.shape)
                    .contiguous()
                )
            if name in ("max", "min", "argmax", "argmin", "median", "mode", "kthvalue"):
                return torch.randint(
                    max(1, source.shape[axis]), t.shape, dtype=t.dtype, generator=self.draws
                )
            counts = name in ("sum", "count_nonzero", "cumsum", "bincount")
            return torch.full(t.shape, int(counts), dtype=t.dtype)

        return tree_map(draw, out)

    def _mask_indices(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Masks among the indices as positions, because a mask has no shape to go on without
        values.
        """
        if name not in CPU_INDEX:
            return args, kwargs
        indices: list[Any] = []
        for i in args[1]:
            if i is not None and i.dtype in (torch.bool, torch.uint8):
                indices += list(self._draw(i).nonzero(as_tuple=True))
            else:
                indices.append(i)
        return (args[0], indices, *args[2:]), kwargs


def _signature(tree: Any) -> Any:
    """What the shape of a result depends on."""
    if isinstance(tree, Tensor):
        return (tree.shape, tree.stride(), tree.dtype, tree.storage_offset())
    if isinstance(tree, dict):
        return tuple((k, _signature(v)) for k, v in tree.items())
    if isinstance(tree, (tuple, list)):
        return tuple(_signature(v) for v in tree)
    return (type(tree), tree)


_SHAPES: dict[Any, list[Any]] = {}  # results seen before, by operator and signature


def _shape_of(func: Any, args: Any, kwargs: Any) -> Any:
    """``func`` on meta tensors.

    Torch's shape functions are slow, so what was seen once is not computed again.
    """
    if func not in _VIEWS:
        _VIEWS[func] = any(a.alias_info is not None for a in func._schema.arguments)
    if _VIEWS[func]:
        return func(*args, **kwargs)
    try:
        key = (func, _signature(args), _signature(kwargs))
        known = _SHAPES.get(key)
    except TypeError:
        return func(*args, **kwargs)
    if known is None:
        out = func(*args, **kwargs)
        leaves = None
        if isinstance(out, Tensor):
            leaves = [out]
        elif isinstance(out, (tuple, list)):
            leaves = out
        if leaves is not None and all(isinstance(t, Tensor) for t in leaves):
            _SHAPES[key] = [
                isinstance(out, Tensor),
                *((t.shape, t.stride(), t.dtype) for t in leaves),
            ]
        return out
    made = [
        torch.empty_strided(shape, stride, dtype=dtype, device="meta")
        for shape, stride, dtype in known[1:]
    ]
    return made[0] if known[0] else tuple(made)


_VIEWS: dict[Any, bool] = {}


def _countable(t: Tensor, limit: int | None = INDICES) -> bool:
    return (
        not t.is_floating_point() and not t.is_complex() and (limit is None or t.numel() <= limit)
    )


def _forget(t: Any) -> Any:
    """A result of which only the shape is kept, when it is large and no index."""
    if (
        isinstance(t, Tensor)
        and not t.is_meta
        and t.numel() > (INDICES if _countable(t, None) else SMALL)
    ):
        return (
            t.to("meta")
            if t.is_contiguous()
            else torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")
        )
    return t


def _to_meta(tree: Any) -> Any:
    return tree_map(lambda t: t.to("meta") if isinstance(t, Tensor) and not t.is_meta else t, tree)


def _needs_values(error: BaseException) -> bool:
    text = str(error)
    return any(
        word in text
        for word in ("meta tensor", "Meta", "meta", "data-dependent", "data dependent", "dynamic")
    )
