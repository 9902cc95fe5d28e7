"""Efficient global attention against dense attention over frame counts, in one process.

    python benchmarks/attention.py                 one module of paper scale, to 200 (400) frames
    python benchmarks/attention.py --whole 4 8 16  whole models of paper scale instead

Weights and tokens are random: time does not depend on them (block-sparse attention keeps the share
of blocks it is told to). Prints seconds per call and the speed-up over dense attention, with exit
code 1 when Spark3R's attention is less than 5 times faster than dense at 200 frames, or VGG-T3's
time per frame from 50 to 400 frames is not flat within 15 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.measure.allocator import keep_freed_memory
from bench3r.measure.trackers import Timer
from bench3r.models.backbones import load_backbone
from bench3r.models.catalogue import input_size, scale_config
from bench3r.models.layers import Attention, TokenLayout, attention_modules

Times = dict[str, dict[int, float]]  # seconds per call, by what is called and by frame count
CASES = {  # what is compared: method and options
    "dense": ("vggt", {}),
    "Spark3R, sensitive layer": ("spark3r", {"layers": "fixed"}),
    "Spark3R, other layer": ("spark3r", {"layers": "fixed", "kv_factor": None}),
    "FastVGGT": ("fastvggt", {}),
    "AVGGT, subsampled layer": ("avggt", {"early": 0, "last": 0}),
    "block-sparse, a quarter kept": ("block_sparse", {"cdf": None, "sparse_ratio": 0.75}),
    "VGG-T3": ("vgg_t3", {}),
}
WHOLE = ("dense", "Spark3R, sensitive layer", "FastVGGT", "AVGGT, subsampled layer", "VGG-T3")
SPARK_FRAMES = 200
SPARK_BOUND = 5.0  # times faster than dense attention
FLAT_FRAMES = (50, 400)
FLAT_BOUND = 1.15  # largest over smallest time per frame


def module_for(case: str) -> Attention:
    """One global attention of a paper-scale VGGT, changed by the case's method."""
    name, options = CASES[case]
    torch.manual_seed(0)
    model = load_backbone(BuildContext("vggt", "paper"))
    cls = METHODS.get(name)
    cls(cls.Options(**options)).apply(model)
    attention = list(attention_modules(model, "global"))[5][1]
    if case == "Spark3R, other layer":  # what its adaptive schedule gives an insensitive layer
        attention.core.options = cls.Options()
        attention.core.ratio.fill_(1.0)
    return attention.eval()


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Fastest of ``repeats`` calls after one that warms up (none when a call takes long)."""
    found = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            with Timer() as timer:
                call()
            found.append(timer.seconds)
            if timer.seconds > 60:
                break
    return min(found)


def attention_times(frames: list[int], dense_limit: int, repeats: int) -> Times:
    """Every case at every frame count, other than VGG-T3 up to ``dense_limit`` frames."""
    config = scale_config("vggt", "paper").aggregator
    height, width, patch = input_size("vggt", "paper")
    trunk = load_backbone(BuildContext("vggt", "paper")).trunk
    modules = {case: module_for(case) for case in CASES}
    found: Times = {case: {} for case in CASES}
    for count in frames:
        layout = TokenLayout(1, count, trunk.special, height // patch, width // patch)
        x = torch.randn(1, count * layout.tokens_per_view, config.embed_dim)
        rope = trunk.rope(layout, x.device).repeat(1, count, 1, 1)
        for case, module in modules.items():
            if count > dense_limit and case != "VGG-T3":
                continue
            found[case][count] = seconds(partial(module, x, rope, layout), repeats)
            print(f"{case:30s} {count:5d} frames {found[case][count]:9.3f} s", flush=True)
    return found


def whole_times(frames: list[int], repeats: int) -> Times:
    """Whole models with each method's own settings."""
    height, width, _ = input_size("vggt", "paper")
    found: Times = {}
    for case in WHOLE:
        name, options = CASES[case]
        model = load_backbone(BuildContext("vggt", "paper"))
        cls = METHODS.get(name)
        method = cls(cls.Options() if name in ("spark3r", "avggt") else cls.Options(**options))
        method.apply(model)
        model.eval()
        own = found.setdefault(method.label, {})
        for count in frames:
            images = torch.rand(1, count, 3, height, width)
            own[count] = seconds(partial(model, images), repeats)
            print(f"{method.label:30s} {count:5d} frames {own[count]:9.3f} s", flush=True)
    return found


def table(times: Times, frames: list[int], base: str) -> None:
    """Milliseconds per frame, and the speed-up over ``base`` where that was timed."""
    head = "".join(f"{f'{n} frames':>20s}" for n in frames)
    print(f"\n{'ms per frame (x faster)':30s}{head}")
    for case, own in times.items():
        row = f"{case:30s}"
        for count in frames:
            row += f"{table_cell(own.get(count), times[base].get(count), count):>20s}"
        print(row)


def table_cell(own: float | None, base: float | None, frames: int) -> str:
    """One time as the table says it."""
    if own is None:
        return "-"
    gain = f" ({base / own:.1f}x)" if base else ""
    return f"{1000 * own / frames:.1f}{gain}"


def verdict(times: Times) -> int:
    """1 when a bound that was measured is missed."""
    missed = 0
    if SPARK_FRAMES in times["dense"]:
        for case in ("Spark3R, sensitive layer", "Spark3R, other layer"):
            gain = times["dense"][SPARK_FRAMES] / times[case][SPARK_FRAMES]
            missed += gain < SPARK_BOUND
            what = f"{gain:.1f} x faster than dense at {SPARK_FRAMES} frames"
            print(f"{case}: {what} (asked: {SPARK_BOUND:g})")
    first, last = FLAT_FRAMES
    flat = {n: t / n for n, t in times["VGG-T3"].items() if first <= n <= last}
    if len(flat) > 1:
        spread = max(flat.values()) / min(flat.values())
        missed += spread > FLAT_BOUND
        what = f"time per frame varies by a factor of {spread:.2f} over {sorted(flat)} frames"
        print(f"VGG-T3: {what} (asked: {FLAT_BOUND:g})")
    return int(missed > 0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 25, 50, 100, 200, 400])
    parser.add_argument("--dense-limit", type=int, default=200, help="more frames only for VGG-T3")
    parser.add_argument(
        "--whole", type=int, nargs="+", help="time whole models at these frame counts"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    if arguments.whole:
        times = whole_times(arguments.whole, arguments.repeats)
        table(times, arguments.whole, "VGGT")
        return 0
    times = attention_times(arguments.frames, arguments.dense_limit, arguments.repeats)
    table(times, arguments.frames, "dense")
    return verdict(times)


if __name__ == "__main__":
    sys.exit(main())
