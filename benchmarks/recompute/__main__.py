"""Recompute every cell of a report from its records alone.

    python -m benchmarks.recompute                              the default run, from the root
    python -m benchmarks.recompute --plan .bench3r/NAME.json --results DIR --report DIR

Reads the plan (which cell is which), ``predict/``, ``score/``, ``profile/`` and ``train/`` below
the results, and the CSV and caption of every table. Nothing of ``bench3r.report`` or of
``bench3r.metrics.statistics`` is used. Prints by table how many cells were compared, which differ,
and which have no record to be compared with. Exit code 1 when one differs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recompute.records import Records
from benchmarks.recompute.rules import RULES
from benchmarks.recompute.tables import Outcome, outcomes

SHOWN = 10  # differing cells of a table that are printed


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and say whether all cells are what the records say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--plan", type=Path, default=Path(".bench3r/default.json"))
    parser.add_argument("--results", type=Path, help="folder of the run's records")
    parser.add_argument("--report", type=Path, help="folder of the report")
    given = parser.parse_args(arguments)
    plan = json.loads(given.plan.read_text())
    name = plan["config"]["name"]
    results = given.results or Path("results") / name
    tables = (given.report or Path("reports") / name) / "tables"
    found = list(outcomes(Records(plan, results), tables, RULES))
    print_outcomes(found)
    return int(any(outcome.wrong for outcome in found))


def print_outcomes(found: list[Outcome]) -> None:
    """A line for each table, and its differing cells."""
    print(f"{'table':32} {'compared':>8} {'differ':>6}  not compared")
    for outcome in found:
        reasons = "; ".join(f"{n} {why}" for why, n in outcome.left_out.items())
        print(f"{outcome.table:32} {outcome.compared:8} {len(outcome.wrong):6}  {reasons}")
        for line in outcome.wrong[:SHOWN]:
            print(f"    {line}")
    compared = sum(outcome.compared for outcome in found)
    wrong = sum(len(outcome.wrong) for outcome in found)
    left = sum(sum(outcome.left_out.values()) for outcome in found)
    print(f"{compared} cells compared, {wrong} differ, {left} have no record or no rule")


if __name__ == "__main__":
    sys.exit(main())
