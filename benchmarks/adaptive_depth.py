"""Time saved beside FLOPs saved: each adaptive method against VGGT, in turn, in one process.

    python benchmarks/adaptive_depth.py           paper scale, 4 views of 256 x 256, one thread
    python benchmarks/adaptive_depth.py --scale tiny --views 4

Weights are random: time does not depend on them. Routers run, but recursion depths are drawn:
smooth random fields with the shares of SpatialMoR's Table V (ScanNet), so that what is saved is
what the paper's distribution would save. Early exit is made to leave at its first exit. Prints one
row per method; exits with 1 when a saving in time is below 0.8 of the one in FLOPs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from bench3r.api.method import METHODS, BuildContext
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.flops import count_torch
from bench3r.measure.trackers import Timer
from bench3r.models.backbones import load_backbone
from bench3r.models.catalogue import input_size
from bench3r.recursion.depth import lipschitz
from bench3r.run.records import Options

BOUND = 0.8  # time saved per FLOP saved
HEAD = f"{'FLOPs saved':>11s} {'VGGT s':>7s} {'s':>7s} {'time saved':>10s} {'ratio':>6s}"
CASES: list[tuple[str, Options]] = [
    ("shallow", {"quarters": 3}),
    ("shallow", {"quarters": 2}),
    ("layer_skip", {}),
    ("early_exit", {"criterion": "saturation", "threshold": 9.0}),
    ("mor", {}),
    ("mor", {"max_depth": 2}),
    ("mor", {"caching": "recursive_sharing"}),
    ("spatial_mor", {"max_depth": 2, "caching": "recursion_wise"}),
    ("spatial_mor", {"caching": "recursion_wise"}),
    ("spatial_mor", {}),
    ("spatial_mor", {"max_depth": 2}),
    ("spatial_mor", {"caching": "region_coherent"}),
    ("spatial_mor", {"routing": "region_guided"}),
]


def smooth_depths(shape: tuple[int, ...], deepest: int) -> torch.Tensor:
    """Recursion depths [B, S, h, w] with Table V's shares, at most ``deepest``, in steps of one."""
    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=shape), (0, 0, 2, 2))
    reported = METHODS.get("spatial_mor").reported[0].depth_shares["indoor"]
    shares = np.cumsum(reported)[:-1]
    depth = 1 + np.searchsorted(np.quantile(field, shares), field)
    return lipschitz(torch.from_numpy(depth.clip(max=deepest)))


def changed_model(name: str, options: Options, scale: str) -> nn.Module:
    """A model with random weights, changed by a method, its recursion depths drawn."""
    torch.manual_seed(0)
    model = load_backbone(BuildContext("vggt", scale))
    cls = METHODS.get(name)
    cls(cls.Options(**options)).apply(model)
    if name == "spatial_mor":
        route = model.schedule.route

        def drawn(inputs):
            routing = route(inputs)
            routing.depth = smooth_depths(tuple(routing.depth.shape), model.schedule.max_depth)
            return routing

        model.schedule.route = drawn
    return model.eval()


class Saving(NamedTuple):
    """What a method saves."""

    flops: float  # share of VGGT's
    before: float  # seconds of VGGT
    after: float  # seconds of the method

    @property
    def time(self) -> float:
        """Share of VGGT's time."""
        return 1 - self.after / self.before

    @property
    def ratio(self) -> float:
        """Time saved per FLOP saved."""
        return self.time / self.flops


def compare(
    dense: nn.Module, model: nn.Module, images: torch.Tensor, rounds: int
) -> tuple[float, float]:
    """Median seconds of VGGT and of the method on images [1, S, 3, H, W], timed in turn.

    Counting their FLOPs was the warm-up.
    """
    before = []
    after = []
    with torch.inference_mode():
        for _ in range(rounds):
            for one, times in ((dense, before), (model, after)):
                with Timer() as timer:
                    one(images)
                times.append(timer.seconds)
    return statistics.median(before), statistics.median(after)


def arguments_given() -> argparse.Namespace:
    """What the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="paper", choices=["tiny", "paper"])
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of methods, comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> int:
    """Print the table; 1 when a method misses the bound."""
    asked = arguments_given()
    torch.set_num_threads(asked.threads)
    keep_freed_memory()
    height, width, _ = input_size("vggt", asked.scale)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(1, asked.views, 3, height, width, generator=generator)
    dense = load_backbone(BuildContext("vggt", asked.scale))
    whole = count_torch(dense, images)
    size = f"{asked.views} views of {height} x {width}"
    macs = f"VGGT {whole / 1e9:.1f} GMAC"
    print(f"{asked.scale} scale, {size}, {asked.threads} thread(s); {macs}")
    print(f"{'method':58s} {HEAD}")
    missed = 0
    only = list(filter(None, asked.only.split(",")))
    for name, options in CASES:
        if only and name not in only:
            continue
        model = changed_model(name, options, asked.scale)
        flops = 1 - count_torch(model, images) / whole
        saving = Saving(flops, *compare(dense, model, images, asked.rounds))
        missed += saving.ratio < BOUND
        text = f"{name} {options or ''}".strip()
        seconds = f"{saving.before:7.2f} {saving.after:7.2f}"
        row = f"{text:58s} {flops:11.1%} {seconds} {saving.time:10.1%} {saving.ratio:6.2f}"
        print(row + ("" if saving.ratio >= BOUND else f"  below {BOUND}"), flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
