"""Work on tokens and views some at a time, so that what it holds does not grow with the scene.

What treats tokens or views each alone (a linear layer, an MLP, attention inside a view, a dense
head) gives the same numbers in chunks. Chunks are large, so that small scenes are one chunk and a
GPU is busy with each. While autograd records nothing is split: it keeps what every chunk computes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

TOKENS = 1 << 16  # of a chunk: 62 views of 518 x 392 with patches of 14


def chunk_rows(tokens: int = 1) -> int:
    """How many rows of ``tokens`` tokens each make a chunk; any number while autograd records."""
    return sys.maxsize if torch.is_grad_enabled() else max(1, TOKENS // tokens)


class Joined:
    """Results [n, ...] of chunks, one after the other in one tensor [rows, ...].

    It is made once, so that the chunks' own results need not be kept beside it.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.done = 0
        self.whole: Tensor | None = None
        self.kept: list[Tensor] = []  # while autograd records

    def add(self, part: Tensor) -> None:
        """The result [n, ...] of the next chunk."""
        count = int(part.shape[0])
        if torch.is_grad_enabled():
            self.kept.append(part)
        elif count == self.rows:
            self.whole = part
        else:
            if self.whole is None:
                shape = (self.rows, *part.shape[1:])
                self.whole = torch.empty(shape, dtype=part.dtype, device=part.device)
            self.whole[self.done : self.done + count] = part
        self.done += count

    def result(self) -> Tensor:
        """All of them: [rows, ...]."""
        if self.whole is None:
            return torch.cat(self.kept)
        return self.whole


def join_chunks(some: Callable[[int], tuple[Tensor, ...]], count: int, rows: int) -> list[Tensor]:
    """Results [count, ...] of which ``some(start)`` gives those [n, ...] from row ``start`` on.

    A chunk has ``rows`` rows, the last one those that are left.
    """
    joined: list[Joined] = []
    for start in range(0, count, rows):
        parts = some(start)
        joined = joined or [Joined(count) for _ in parts]
        for all_of_it, part in zip(joined, parts, strict=True):
            all_of_it.add(part)
    return [x.result() for x in joined]


def in_chunks(run: Callable[[Tensor], Tensor], x: Tensor, rows: int) -> Tensor:
    """``run`` on ``rows`` rows of ``x`` [N, ...] at a time: its results [N, ...] together."""
    count = int(x.shape[0])
    if count <= rows:
        return run(x)
    return join_chunks(lambda start: (run(x[start : start + rows]),), count, rows)[0]


def many_tokens(x: Tensor) -> bool:
    """Whether ``x`` [..., C] is more than one chunk of tokens."""
    return x.numel() > chunk_rows() * int(x.shape[-1])


def tokens_in_chunks(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``run``, which treats each token alone, on ``x`` [..., C]: [..., C']."""
    if not many_tokens(x):
        return run(x)
    flat = x.reshape(-1, x.shape[-1])
    return in_chunks(run, flat, chunk_rows()).unflatten(0, x.shape[:-1])


def read_tap(tokens: Tensor, head: nn.Module) -> Tensor:
    """Tapped ``tokens`` [...] as heads compute with them: float32, on the device of ``head``."""
    return tokens.to(next(head.parameters()).device, torch.float32)


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The precision in which matrices of ``x`` [...] are multiplied."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
