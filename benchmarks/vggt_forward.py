"""Time, split by module, arithmetic floor and activation peak of VGGT's forward pass.

    python benchmarks/vggt_forward.py                      the golden vggt-small configuration,
                                                           8 views of 140 x 154
    python benchmarks/vggt_forward.py --views 16 --memory  peak activation memory, fresh process

The floor is the counted FLOPs over the GEMM rate measured in the same run, so the ratio says how
much of the time is arithmetic. Everything runs in float32 on one thread with random weights,
without tracks.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import torch
from torch import nn

from bench3r.measure import flops
from bench3r.measure.trackers import MemoryTracker
from bench3r.models.vggt.config import VGGTConfig
from bench3r.models.vggt.network import VGGT

SMALL = {
    "aggregator": {
        "embed_dim": 384,
        "depth": 24,
        "num_heads": 6,
        "patch_embed": "dinov2_vits14_reg",
    },
    "camera": {"dim_in": 768},
    "dpt": {"dim_in": 768},
    "track": {"dim_in": 768},
}
# CPU-seconds of the official code at this configuration, one thread, 8 views, as stated by its
# measurer on another day on a loaded machine: a point of orientation, not a comparison made here.
STATED_OFFICIAL = {
    "patch_embed": 0.6,
    "frame_blocks": 1.2,
    "global_blocks": 1.5,
    "camera_head": 0.09,
    "depth_head": 2.6,
    "point_head": 2.6,
}


def gemm_rate(seconds: float = 1.0) -> float:
    """FLOP/s of a float32 matrix product of 1024 x 1024 x 1024 on this thread, best of several."""
    a = torch.rand(1024, 1024)
    b = torch.rand(1024, 1024)
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best


def timed(model: VGGT, images: torch.Tensor, repeats: int) -> tuple[float, dict[str, float]]:
    """Best total of ``repeats`` calls on images [1, S, 3, H, W], and its seconds by part."""
    parts = {
        "patch_embed": [model.aggregator.patch_embed],
        "frame_blocks": list(model.aggregator.frame_blocks),
        "global_blocks": list(model.aggregator.global_blocks),
        "camera_head": [model.camera_head],
        "depth_head": [model.depth_head],
        "point_head": [model.point_head],
    }
    spent: dict[str, float] = defaultdict(float)
    for name, modules in parts.items():
        for module in modules:
            module.register_forward_pre_hook(lambda m, _: setattr(m, "_begin", time.perf_counter()))
            module.register_forward_hook(_adder(spent, name))
    best = float("inf")
    split: dict[str, float] = {}
    for _ in range(repeats + 1):
        spent.clear()
        start = time.perf_counter()
        model(images)
        total = time.perf_counter() - start
        if total < best:
            best = total
            split = dict(spent)
    return best, split


def _adder(spent: dict[str, float], name: str) -> Callable[..., None]:
    def add(module: nn.Module, *_: object) -> None:
        spent[name] += time.perf_counter() - module._begin

    return add


def activation_peak(model: VGGT, images: torch.Tensor) -> int:
    """Bytes that one call on images [1, S, 3, H, W] adds at its peak."""
    with MemoryTracker(interval=0.001) as memory:
        model(images)
    return memory.peak_rss - memory.baseline_rss


def print_row(name: str, seconds: float, floor: float, official: float) -> None:
    """One line of the table."""
    print(f"{name:15} {seconds:8.3f} {floor:8.3f} {seconds / floor:6.2f} {official:16.2f}")


def arguments_given() -> argparse.Namespace:
    """What the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=(140, 154), metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--memory", action="store_true", help="measure the activation peak of one call and stop"
    )
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = arguments_given()
    torch.set_num_threads(1)
    model = VGGT(VGGTConfig.model_validate(SMALL)).eval()
    height, width = options.size
    images = torch.rand(1, options.views, 3, height, width)
    with torch.inference_mode():
        if options.memory:
            peak = activation_peak(model, images)
            print(f"activation peak: {peak / 1e6:.0f} MB, {options.views} views")
            return
        counted = flops.parts(model, flops.count(model, images).by_module)
        rate = gemm_rate()
        total, split = timed(model, images, options.repeats)
        rate = max(rate, gemm_rate())
    size = f"{options.views} views of {height} x {width}"
    print(f"{size}, one thread, {rate / 1e9:.1f} GFLOP/s in GEMM")
    print(f"{'part':15} {'seconds':>8} {'floor':>8} {'ratio':>6} {'stated official':>16}")
    for name, seconds in split.items():
        official = STATED_OFFICIAL.get(name, float("nan"))
        print_row(name, seconds, 2 * counted[name] / rate, official)
    floor = 2 * sum(counted.values()) / rate
    print_row("total", total, floor, sum(STATED_OFFICIAL.values()))


if __name__ == "__main__":
    main()
