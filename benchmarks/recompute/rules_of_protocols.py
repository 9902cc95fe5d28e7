"""The same predictions under the rules of several papers."""

from __future__ import annotations

import csv
import itertools
import statistics

from scipy.stats import kendalltau

from benchmarks.recompute.costs import Value
from benchmarks.recompute.intervals import FEWEST
from benchmarks.recompute.records import Part
from benchmarks.recompute.tables import Table

COLUMNS = {  # heads of the tables, by quantity
    "depth": {
        "median scale per scene": "depth_median/absrel",
        "robust scale, CUT3R": "depth_video/scale_absrel",
        "scale and shift, CUT3R": "depth_video/scaleshift_absrel",
        "Lite3R": "lite3r/absrel",
    },
    "pose": {
        "Pi3": "relpose_pi3/auc30",
        "VGGT": "relpose_vggt/auc30",
        "Depth-Anything-3": "relpose_da3/auc30",
    },
    "trajectory": {
        "evo, Sim(3)": "trajectory_evo/ate",
        "ScanNet-50, Sim(3)": "scannet50_sim3/ate",
        "ScanNet-50, FastVGGT": "scannet50_fastvggt/ate",
    },
    "points": {
        "Pi3": "pi3_pointmap/chamfer",
        "CUT3R": "cut3r_pointmap/chamfer",
        "MVSNet on DTU": "dtu_mvsnet/overall",
        "ScanNet-50, Sim(3)": "scannet50_sim3/chamfer",
        "ScanNet-50, FastVGGT": "scannet50_fastvggt/chamfer_sum",
    },
    "fscore": {
        "1 % of the diagonal": "fscore/fscore",
        "5 cm": "scannet50_sim3/fscore_5cm",
        "Lite3R, 0.05 normalised": "lite3r/fscore_005",
    },
}


def protocol_family(table: Table) -> list[dict[str, Value]]:
    """Means of the main methods under every rule; rows stand in planned order."""
    _, quantity, dataset = table.name.split("_", 2)
    records = table.records
    settings = records.main_settings(controls=False)
    part = Part(records, settings, {dataset}, table.frames)
    heads = [head for head in table.rows[0] if head != "method"]
    means = {}
    for head in heads:
        protocol, metric = COLUMNS[quantity][head].split("/")
        means[head] = table.column(protocol, metric, part).means
    complete = [s for s in settings if all(s in means[head] for head in heads)]
    return [{head: means[head][s].mean for head in heads} for s in complete]


def protocol_summary(table: Table) -> list[dict[str, Value]]:
    """How far rules move a number, from the tables of families, which are compared themselves."""
    out = []
    for row in table.rows:
        name = f"protocols_{row['quantity']}_{row['dataset']}"
        path = table.path.with_name(table.path.name.replace("protocols", name))
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        heads = [head for head in lines[0] if head != "method"]
        numbers = [[float(line[head]) for head in heads] for line in lines]
        moved = [max(n) / min(n) for n in numbers if min(n) > 0]
        columns = list(zip(*numbers, strict=True))
        agreement = [kendalltau(*two).statistic for two in itertools.combinations(columns, 2)]
        out.append(
            {
                "rules": len(heads),
                "scenes": _scenes(table, row["dataset"]),
                "moved_median": statistics.median(moved),
                "moved_largest": max(moved),
                "lowest_tau": min(agreement),
                "best_methods": 0 if _scenes(table, row["dataset"]) < FEWEST else None,
            }
        )
    return out


def _scenes(table: Table, dataset: str) -> int:
    settings = table.records.main_settings(controls=False)
    return len(Part(table.records, settings, {dataset}, table.frames).common)
