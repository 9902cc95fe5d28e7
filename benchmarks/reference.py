"""All methods at published size with random weights, over frame counts, on the machine at hand.

    python benchmarks/reference.py                       a GPU: full scale, bf16, 1 to 2,000 frames
    python benchmarks/reference.py --device cpu --scale tiny --frames 1 2 4
    python benchmarks/reference.py --methods vggt --ladder fp32 bf16_weights

Unchanged backbones are measured on every rung of the ladder too (`--ladder`: fp32, TF32, autocast,
weights in bf16 or fp16, torch.compile).

Every case runs in a process of its own and appends a record, with its provenance, to
results/reference/DEVICE/records.jsonl; cases that stand there already are not measured again, and
after a frame count that does not fit the larger ones are not tried. Reports show these records as
measured on that device. Needs torch, numpy, scipy, fvcore, pydantic, psutil, rich and pyyaml; no
Snakemake, no pandas.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench3r.api.method import METHODS
from bench3r.api.registry import ROOT
from bench3r.files import append_jsonl, read_json, read_jsonl
from bench3r.jobs.reference_worker import case_key
from bench3r.jobs.tasks import ReferenceCase, ReferenceTask, write_task
from bench3r.jobs.watch import START_LIMIT, Work, ended, run_worker
from bench3r.measure.rungs import SETUPS, Rung, rung_of_run
from bench3r.models.catalogue import backbones, input_size
from bench3r.run.provenance import device_name
from bench3r.run.records import Options

FRAMES = (1, 2, 10, 50, 100, 200, 500, 1000, 2000)
# Image height and width at which the official figures of VGGT were measured.
OFFICIAL_SIZE = {("vggt", "full"): (336, 518)}
# Plain ways to run an unchanged backbone, beside which a method's gain has to be seen.
LADDER = (
    Rung.FP32,
    Rung.FP32_TF32,
    Rung.AUTOCAST_BF16,
    Rung.BF16_WEIGHTS,
    Rung.AUTOCAST_FP16,
    Rung.FP16_WEIGHTS,
    Rung.AUTOCAST_BF16_COMPILED,
    Rung.BF16_WEIGHTS_COMPILED,
)
# Options of the methods that are measured in several settings.
ROWS: dict[str, list[Options]] = {
    "lite3r": [
        {"variant": v} for v in ("bf16_dense", "fp8_weight_only", "sla_block", "sla_block_fp8")
    ],
    "shallow": [{"quarters": 2}],
    "dust3r": [{"graph": "swin"}],
    "mast3r": [{"graph": "swin"}],
}


def typical_size(backbone: str, scale: str) -> tuple[int, int]:
    """Image height and width of official figures where there are some, else the scale's own."""
    height, width, _ = input_size(backbone, scale)
    return OFFICIAL_SIZE.get((backbone, scale), (height, width))


class Setting(NamedTuple):
    """What is measured over frame counts."""

    method: str
    backbone: str
    options: Options
    rung: Rung | None = None  # None: the precision that was asked for

    @property
    def id(self) -> str:
        """Its name in the names of cases."""
        text = "-".join(
            [self.method, self.backbone, *(f"{k}={v}" for k, v in self.options.items())]
        )
        return text if self.rung is None else f"{text}-{self.rung}"

    @property
    def label(self) -> str:
        """How tables call it."""
        label: str = METHODS.get(self.method).label
        return label if self.rung is None else f"{label} ({SETUPS[self.rung].label})"


def settings(args: argparse.Namespace) -> Iterator[Setting]:
    """All methods that were asked for, each unchanged backbone on the rungs of the ladder too."""
    own = rung_of_run(args.precision)
    rungs = [rung for rung in args.ladder if rung != own]
    for name, cls in METHODS.all().items():
        if cls.kind == "control" or (args.methods and name not in args.methods):
            continue
        for backbone in cls.backbones or tuple(backbones()):
            if cls.kind == "plugin" and backbone not in args.backbones:
                continue
            for options in ROWS.get(name, [{}]):
                yield Setting(name, backbone, options)
            if cls.kind == "backbone":
                yield from (Setting(name, backbone, {}, rung) for rung in rungs)


def cases(args: argparse.Namespace) -> list[list[ReferenceCase]]:
    """One list per setting, with growing frame counts."""
    frames = sorted(args.frames)
    return [[case(args, setting, count) for count in frames] for setting in settings(args)]


def case(args: argparse.Namespace, setting: Setting, frames: int) -> ReferenceCase:
    """One measurement."""
    return ReferenceCase(
        id=f"{setting.id}-f{frames}",
        method=setting.method,
        label=setting.label,
        options=setting.options,
        backbone=setting.backbone,
        scale=args.scale,
        frames=frames,
        size=args.size or typical_size(setting.backbone, args.scale),
        device=args.device,
        precision=args.precision,
        rung=setting.rung,
        warmup=args.warmup,
        repeats=10,
        seconds=args.seconds,
        threads=args.threads,
    )


def measure(case: ReferenceCase, args: argparse.Namespace) -> dict[str, Any]:
    """The record of a case, measured in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        job, log, out = (Path(folder) / n for n in ("job.json", "log", "out.json"))
        write_task(job, ReferenceTask(**case.model_dump(), out=out))
        work = Work("bench3r.jobs.reference_worker", job, log, args.threads, args.memory_gb)
        start = time.monotonic()
        allowed = START_LIMIT + args.limit
        code, verdict = run_worker(work, lambda: allowed - (time.monotonic() - start))
        if verdict is None and code == 0:
            return dict(read_json(out))
        status, reason = verdict or ended(code, log)
        return {
            "case": case.model_dump(mode="json"),
            "key": case_key(case),
            "cell": case.id,
            "frames": case.frames,
            "status": status,
            "reason": reason or f"no result after {allowed:g} s",
        }


def arguments_given(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks, or ``given`` in its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--scale", default="full")
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--frames", type=int, nargs="+", default=list(FRAMES))
    parser.add_argument(
        "--size", type=int, nargs=2, help="height and width; the scale's own, VGGT 336 518"
    )
    parser.add_argument("--methods", nargs="*", help="some methods only")
    parser.add_argument(
        "--backbones", nargs="*", default=list(backbones()), help="that plug-ins run on"
    )
    parser.add_argument(
        "--seconds", type=float, default=20, help="timed work of a case once it has 3 calls"
    )
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds after which a case is given up"
    )
    parser.add_argument(
        "--memory-gb", type=float, default=64, help="of the host, after which a case is given up"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "reference")
    parser.add_argument(
        "--ladder",
        nargs="*",
        type=Rung,
        default=list(LADDER),
        metavar="RUNG",
        help="what unchanged backbones run on besides: " + ", ".join(Rung) + "; without any: none",
    )
    parser.add_argument("--warmup", type=int, default=2, help="calls before those that are timed")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Measure what is not there yet; ``given``: arguments in place of the command line's."""
    args = arguments_given(given)
    name = re.sub(r"[^A-Za-z0-9]+", "-", device_name(args.device)).strip("-")
    records = args.out / name / "records.jsonl"
    done = {r["key"]: r for r in read_jsonl(records)}
    for setting in cases(args):
        for case in setting:
            row = done.get(case_key(case))
            if row is None:
                row = measure(case, args)
                append_jsonl(records, row)
                seconds = min(row.get("seconds") or [0])
                print(f"{case.id}: {row['status']} {row['reason']} {seconds:.4g} s", flush=True)
            if row["status"] in ("oom", "timeout"):
                break
    print(f"records: {records}")


if __name__ == "__main__":
    main()
