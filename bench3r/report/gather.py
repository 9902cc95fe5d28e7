"""From what the collect stage wrote to the evidence that a report is made from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench3r.files import read_jsonl
from bench3r.report.costs import CostRow
from bench3r.report.evidence import FACTS, Evidence, RunEvidence, with_columns
from bench3r.run.plan import Plan


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
            )
        )
    return RunEvidence(plan, table, found, _costs(collected, "largest"), collected)


def _beside(collected: Path, name: str) -> pd.DataFrame:
    return pd.DataFrame(read_jsonl(collected.with_name(f"{name}.jsonl")))


def _costs(collected: Path, name: str) -> list[CostRow]:
    rows = read_jsonl(collected.with_name(f"{name}.jsonl"))
    return [CostRow.model_validate(row) for row in rows]
