"""A table of peak memory on a GPU per method and backbone, from shapes alone: no GPU needed.

``python -m tests.gpu.peaks --frames 100 300 1000 2000 --methods vggt vgg_t3 --backbones vggt``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from tests.helpers.gpu_free.cells import Cell, Outcome, attempt, find
from tests.helpers.gpu_free.tensors import GIB

SIZE = (392, 518)  # height and width of the images


class Peak(NamedTuple):
    """What one cell takes at one frame count."""

    cell: Cell
    frames: int
    gib: float | None  # None: it does not run; ``reason`` says why
    reason: str
    largest: tuple[tuple[str, float], ...] = ()  # where the peak was made, and how much there


def peak(cell: Cell, frames: int, size: tuple[int, int] = SIZE) -> Peak:
    """The peak of ``cell`` at the published size of the backbone, in bf16, weights included."""
    outcome: Outcome = attempt(cell, frames, "full", "bf16", values=False, size=size)
    if outcome.status != "ok":
        return Peak(cell, frames, None, f"{outcome.status}: {outcome.reason}")
    memory = outcome.device.memory
    largest = tuple((where, taken / GIB) for where, taken in memory.at_peak)
    return Peak(cell, frames, memory.peak / GIB, "", largest)


def table(rows: dict[str, list[Peak]], frames: list[int]) -> Iterator[str]:
    """Markdown lines: one row per cell, one column per frame count."""
    yield "| method x backbone | " + " | ".join(f"{n:,} frames" for n in frames) + " |"
    yield "|:--|" + "--:|" * len(frames)
    for name, peaks in rows.items():
        yield f"| {name} | " + " | ".join(text(p) for p in peaks) + " |"


def text(one: Peak) -> str:
    """One cell of the table."""
    return one.reason if one.gib is None else f"{one.gib:.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 300, 1000, 2000])
    parser.add_argument("--methods", nargs="+", help="names; default: all")
    parser.add_argument("--backbones", nargs="+", help="names; default: all")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--where", action="store_true", help="also what is held at each peak")
    asked = parser.parse_args()
    rows: dict[str, list[Peak]] = {}
    for cell in find(asked.methods, asked.backbones):
        rows[str(cell)] = []
        for frames in asked.frames:
            found = peak(cell, frames, tuple(asked.size))
            rows[str(cell)].append(found)
            print(f"{cell}, {frames:,} frames: {text(found)}", flush=True)
            for where, taken in found.largest if asked.where else ():
                print(f"    {taken:6.2f} GiB  {where}", flush=True)
    height, width = asked.size
    print(f"\nPeak memory in GiB, {width} x {height} pixels, bf16, weights and images included\n")
    print("\n".join(table(rows, asked.frames)))


if __name__ == "__main__":
    main()
