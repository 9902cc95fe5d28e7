"""All methods at published size with random weights, over frame counts, on the machine at hand.

    python benchmarks/reference.py                       a GPU: full scale, bf16, 1 to 2,000 frames
    python benchmarks/reference.py --device cpu --scale tiny --frames 1 2 4

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
from pathlib import Path
from typing import Any

import torch

from bench3r.api.method import METHODS
from bench3r.api.registry import ROOT
from bench3r.files import append_jsonl, read_json, read_jsonl
from bench3r.jobs.reference_worker import case_key
from bench3r.jobs.tasks import ReferenceCase, ReferenceTask, write_task
from bench3r.jobs.watch import START_LIMIT, Work, ended, run_worker
from bench3r.models.catalogue import backbones, input_size
from bench3r.run.provenance import device_name
from bench3r.run.records import Options

FRAMES = (1, 2, 10, 50, 100, 200, 500, 1000, 2000)
# Image height and width at which the official figures of VGGT were measured.
OFFICIAL_SIZE = {("vggt", "full"): (336, 518)}
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


def cases(args: argparse.Namespace) -> list[list[ReferenceCase]]:
    """One list per setting, with growing frame counts."""
    out = []
    for name, cls in METHODS.all().items():
        if cls.kind == "control" or (args.methods and name not in args.methods):
            continue
        for backbone in cls.backbones or tuple(backbones()):
            if cls.kind == "plugin" and backbone not in args.backbones:
                continue
            for options in ROWS.get(name, [{}]):
                out.append([case(args, name, backbone, options, n) for n in sorted(args.frames)])
    return out


def case(
    args: argparse.Namespace, method: str, backbone: str, options: Options, frames: int
) -> ReferenceCase:
    """One measurement."""
    text = "-".join([method, backbone, *(f"{k}={v}" for k, v in options.items())])
    return ReferenceCase(
        id=f"{text}-f{frames}",
        method=method,
        label=METHODS.get(method).label,
        options=options,
        backbone=backbone,
        scale=args.scale,
        frames=frames,
        size=args.size or typical_size(backbone, args.scale),
        device=args.device,
        precision=args.precision,
        warmup=2,
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


def arguments_given() -> argparse.Namespace:
    """What the command line asks."""
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
    return parser.parse_args()


def main() -> None:
    """Measure what is not there yet."""
    args = arguments_given()
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
