"""From what the collect stage wrote to the evidence that a report is made from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from bench3r.files import read_jsonl
from bench3r.protocols import PROTOCOLS
from bench3r.report.costs import CostRow
from bench3r.report.evidence import FACTS, Evidence, RunEvidence, with_columns
from bench3r.report.names import dataset_label
from bench3r.run.plan import Plan


def caption(plan: Plan, table: pd.DataFrame) -> str:
    """What the numbers stand on: scale, weights, data, device, protocols, date."""
    config = plan.config
    data = []
    for name, rows in table.groupby("dataset", sort=False):
        procedural = rows["procedural"].eq(True).any()
        kind = "PROCEDURAL scenes in its layout, not the real data" if procedural else "real data"
        data.append(f"{dataset_label(str(name))} ({kind}, {rows['scene'].nunique()} scenes)")
    counts = ", ".join(str(n) if n else "listed" for n in table["frames"].unique())
    devices = ", ".join(sorted(table["device"].dropna().unique())) or "unknown device"
    protocols = ", ".join(PROTOCOLS.get(name).title for name in config.protocols)
    return (
        f"Measured by Bench3R. Scale `{config.scale}`, base weights `{config.base}`, "
        f"{config.precision}. Data: {'; '.join(data)}; {counts} frames a scene. "
        f"Device: {devices}. Protocols: {protocols}. "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


def gather(plan: Plan, collected: Path) -> RunEvidence:
    """Read what the collect stage wrote: the table ``collected`` and the files beside it."""
    table = pd.read_parquet(collected)
    facts = with_columns(_beside(collected, "facts"), FACTS)
    trainings = _beside(collected, "trainings")
    costs = _costs(collected, "profiles")
    several = table["frames"].nunique() > 1
    found = []
    for count, rows in table.groupby("frames", sort=False):
        frames = int(str(count))
        found.append(
            Evidence(
                plan=plan,
                table=rows,
                costs=costs,
                facts=facts[facts["frames"].eq(frames)],
                trainings=trainings,
                frames=frames,
                suffix=f"_f{frames}" if several else "",
                about=caption(plan, rows),
            )
        )
    return RunEvidence(plan, table, found, _costs(collected, "largest"), collected)


def _beside(collected: Path, name: str) -> pd.DataFrame:
    return pd.DataFrame(read_jsonl(collected.with_name(f"{name}.jsonl")))


def _costs(collected: Path, name: str) -> list[CostRow]:
    rows = read_jsonl(collected.with_name(f"{name}.jsonl"))
    return [CostRow.model_validate(row) for row in rows]
