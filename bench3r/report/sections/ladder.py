"""What plain ways to run an unchanged backbone give: the baselines that a method has to beat."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench3r.measure.pairs import Ratio, paired_ratio
from bench3r.measure.rungs import SETUPS, Rung
from bench3r.models.catalogue import label_of_network
from bench3r.report.captions import cost_caption
from bench3r.report.evidence import CostRow, RunEvidence
from bench3r.report.section import Section
from bench3r.report.tables import MISSING, Table, number
from bench3r.report.time_columns import HOW, ratio_text
from bench3r.run.records import RungRecord

NOTE = (
    "The unchanged backbone, timed call by call in turn with itself as the run has it (*), in one "
    f"process on the same images: median seconds, and {HOW}. "
    "A method's speed-up is over the row marked *, so a row with a larger one is the baseline that "
    "it has to beat; the row marked * is measured like the others, and how far its own ratio is "
    "from 1 is the error of all. Heads are in fp32 everywhere."
)
MEANINGS = (
    "Autocast: the trunk's matrix products in low precision, its weights in fp32. bf16 and fp16 "
    "weights: encoder and trunk are stored and computed in it, without autocast. TF32: allowed to "
    "matrix products of fp32, too. Compiled: every transformer block by `torch.compile`; the first "
    "call compiles."
)
MEMORY = "Memory: of tensors in the first call, weights and images included."


def speed_up(record: RungRecord) -> Ratio | None:
    """How many times as fast as the run's own baseline a rung is; None when it was not timed."""
    found = paired_ratio(record.seconds, record.run_seconds)
    return None if found is None else found.inverse


def ladder_tables(run: RunEvidence) -> Iterator[Table]:
    """One table for all backbones and frame counts, where the run measured a ladder."""
    measured = [cost for cost in run.first.costs if cost.ladder]
    if measured:
        yield ladder_table(measured, cost_caption(run.first, measured))


def ladder_table(costs: list[CostRow], about: str) -> Table:
    """Every rung of the backbones ``costs``."""
    pairs = [(cost, record) for cost in costs for record in cost.ladder]
    shown = pd.DataFrame([_shown(cost, record) for cost, record in pairs])
    raw = pd.DataFrame([_raw(cost, record) for cost, record in pairs])
    notes = [NOTE, MEANINGS]
    if raw["peak_gpu_bytes"].notna().any():
        notes.append(MEMORY)
    else:
        shown = shown.drop(columns="memory (GB)")
    return Table("ladder", "What a plain cast gives", about, shown, raw, notes)


def _shown(cost: CostRow, record: RungRecord) -> dict[str, object]:
    kernels = ", ".join(record.attention)
    return {
        "backbone": label_of_network(cost.backbone),
        "frames": f"{cost.frames:,}",
        "runs in": _marked(record.rung, cost),
        "time (s)": number(_median(record.seconds), ".3g"),
        "times as fast": ratio_text(speed_up(record)),
        "memory (GB)": number(_gigabytes(record.peak_gpu_bytes), ".3g"),
        "weights (GB)": number(_gigabytes(record.weight_bytes), ".3g"),
        "first call (s)": number(record.first_seconds, ".3g"),
        "attention": kernels or MISSING,
        "status": record.status if record.status == "ok" else f"{record.status}: {record.reason}",
    }


def _marked(rung: Rung, cost: CostRow) -> str:
    label = SETUPS[rung].label
    return f"{label} *" if rung == cost.rung else label


def _raw(cost: CostRow, record: RungRecord) -> dict[str, object]:
    ratio = speed_up(record) or Ratio(math.nan, math.nan, math.nan, 0)
    return {
        "backbone": cost.backbone,
        "frames": cost.frames,
        "device": cost.device,
        "rung": record.rung.value,
        "over": cost.rung.value if cost.rung else "",
        "status": record.status,
        "reason": record.reason,
        "time_s": _median(record.seconds),
        "run_time_s": _median(record.run_seconds),
        "speed_up": ratio.value,
        "speed_up_low": ratio.low,
        "speed_up_high": ratio.high,
        "pairs": ratio.n,
        "suspect": ratio.suspect,
        "peak_gpu_bytes": record.peak_gpu_bytes,
        "weight_bytes": record.weight_bytes,
        "first_call_s": record.first_seconds,
        "attention": "; ".join(f"{name} x {n}" for name, n in record.attention.items()),
    }


def _median(seconds: list[float]) -> float:
    return float(np.median(seconds)) if seconds else math.nan


def _gigabytes(count: int | None) -> float:
    return math.nan if count is None else count / 1e9


SECTION = Section("ladder", 95, "length", run_tables=ladder_tables)
