"""How often the intervals of tables cover the true mean, and how often no difference is called one.

    python benchmarks/coverage.py                the table as Markdown, 4,000 draws a cell
    python benchmarks/coverage.py --draws 500    faster and coarser

Every draw is the differences of a few scenes whose true mean is zero. In (brackets) the same for
the percentile bootstrap, which is what most scripts use. From 6 scenes on, an interval that misses
is a difference called real; below, nothing is. Exit code 1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench3r.metrics.statistics import ALPHA, discoveries, familywise, mean_interval

SCENES = (2, 3, 4, 5, 6, 9, 12, 20, 30)
CALLED = 0.07  # at most, of differences that are none; but for the extreme skew
COVERED = 0.91  # at least, of intervals of 95 %
EXTREME = "lognormal, σ 1"  # of a skew of 6: few scenes seldom show its tail
CALLED_EXTREME = 0.11
COVERED_EXTREME = 0.86
FAMILY = 12  # comparisons of one column
Sampler = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _outliers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, every tenth scene ten times as far."""
    return rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 10, 1)


DIFFERENCES: dict[str, Sampler] = {  # of mean zero, by what they are like
    "normal": lambda rng, shape: rng.normal(size=shape),
    "Student's t, 3 degrees": lambda rng, shape: rng.standard_t(3, size=shape),
    "outliers, 1 in 10": _outliers,
    "two lognormal errors": lambda rng, shape: (
        rng.lognormal(0, 1, shape) - rng.lognormal(0, 1, shape)
    ),
    "exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "lognormal, σ 0.5": lambda rng, shape: rng.lognormal(0, 0.5, shape) - np.exp(0.125),
    EXTREME: lambda rng, shape: rng.lognormal(0, 1, shape) - np.exp(0.5),
}


class Rates(NamedTuple):
    """Shares of draws."""

    covered: float  # the true mean is inside of the interval
    called: float  # a difference is said to be real


def rates(like: str, scenes: int, draws: int) -> Rates:
    """What the shipped interval does with differences like ``like`` of so many scenes."""
    drawn = DIFFERENCES[like](np.random.default_rng(scenes), (draws, scenes))
    covered = 0
    called = 0
    for one in drawn:
        found = mean_interval(one)
        covered += found.low <= 0 <= found.high
        called += found.excludes_zero
    return Rates(covered / draws, called / draws)


def percentile(like: str, scenes: int, draws: int) -> Rates:
    """The same of the percentile bootstrap: an interval without zero is called a difference."""
    rng = np.random.default_rng(scenes)
    drawn = DIFFERENCES[like](rng, (draws, scenes))
    index = rng.integers(scenes, size=(1000, scenes))
    covered = 0
    for one in drawn:
        low, high = np.quantile(one[index].mean(axis=1), [0.025, 0.975])
        covered += low <= 0 <= high
    return Rates(covered / draws, 1 - covered / draws)


class FalseFamily(NamedTuple):
    """How often a family without any difference finds one."""

    discoveries: float  # as columns of tables are corrected
    familywise: float  # as claims are


def family(like: str, scenes: int, draws: int) -> FalseFamily:
    """The same for the comparisons of a column, none of them real.

    All compare methods with the same backbone, so their differences share its part.
    """
    rng = np.random.default_rng(scenes)
    sampler = DIFFERENCES[like]
    one = 0
    other = 0
    for _ in range(draws):
        drawn = sampler(rng, (scenes, FAMILY)) + sampler(rng, (scenes, 1))
        one += min(discoveries([mean_interval(column) for column in drawn.T])) <= ALPHA
        other += bool((familywise(drawn) <= ALPHA).any())
    return FalseFamily(one / draws, other / draws)


def table(draws: int) -> tuple[list[str], bool]:
    """Lines of the Markdown table, and whether every bound holds."""
    cells = " | ".join(f"n = {n}" for n in SCENES)
    lines = [f"| differences, covered % | {cells} |", "|:--|" + "--:|" * len(SCENES)]
    good = True
    for like in DIFFERENCES:
        shown = []
        for n in SCENES:
            found = rates(like, n, draws)
            good &= found.called <= (CALLED_EXTREME if like == EXTREME else CALLED)
            good &= found.covered >= (COVERED_EXTREME if like == EXTREME else COVERED)
            old = percentile(like, n, min(draws, 1000))
            shown.append(f"{100 * found.covered:.1f} ({100 * old.covered:.0f})")
        lines.append(f"| {like} | {' | '.join(shown)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines, good


def main() -> int:
    """Print the table; 1 when a null difference is called one too often."""
    parser = argparse.ArgumentParser(description="Coverage of intervals by simulation.")
    parser.add_argument("--draws", type=int, default=4000)
    draws = parser.parse_args().draws
    lines, good = table(draws)
    print("\n".join(lines))
    for n in (6, 9, 30):
        found = family("normal", n, max(200, draws // 10))
        good &= max(found) <= CALLED
        print(
            f"\nFamilies of {FAMILY} comparisons, n = {n}, that find any difference: "
            f"{found.discoveries:.1%} (tables), {found.familywise:.1%} (claims)."
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
