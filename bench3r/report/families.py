"""Quantities that different papers measure by different rules, and how far a rule moves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from bench3r.protocols import metric_of
from bench3r.report.cells import TIED, Scores
from bench3r.report.columns import column_of
from bench3r.report.evidence import Evidence
from bench3r.report.names import name_of
from bench3r.report.settings import settings_of
from bench3r.report.summary import common_scenes, of_scenes, weights_of, wide


@dataclass(frozen=True)
class Family:
    """One quantity and the rules that different papers measure it by."""

    name: str
    title: str
    unit: str
    variants: tuple[tuple[str, str, str], ...]  # protocol, metric, how it is called here
    differ: str  # what the rules do differently

    @property
    def better(self) -> str:
        """Which way is better, as the first of the metrics declares it."""
        protocol, metric, _ = self.variants[0]
        return metric_of(protocol, metric).better


FAMILIES = (
    Family(
        "depth",
        "Depth error (AbsRel)",
        "ratio",
        (
            ("depth_median", "absrel", "median scale per scene"),
            ("depth_video", "scale_absrel", "robust scale, CUT3R"),
            ("depth_video", "scaleshift_absrel", "scale and shift, CUT3R"),
            ("lite3r", "absrel", "Lite3R"),
        ),
        "All fit one scale per scene (and a shift where said): the median of ratios, reweighted "
        "steps towards least absolute error, or least squares (Lite3R), which far pixels decide.",
    ),
    Family(
        "pose",
        "Camera pose (AUC@30)",
        "share",
        (
            ("relpose_pi3", "auc30", "Pi3"),
            ("relpose_vggt", "auc30", "VGGT"),
            ("relpose_da3", "auc30", "Depth-Anything-3"),
        ),
        "Pi3 and VGGT see a pair's translation from different cameras; Depth-Anything-3 rebases on "
        "camera 0, whose error then enters every pair.",
    ),
    Family(
        "trajectory",
        "Trajectory error (ATE)",
        "the dataset's unit",
        (
            ("trajectory_evo", "ate", "evo, Sim(3)"),
            ("scannet50_sim3", "ate", "ScanNet-50, Sim(3)"),
            ("scannet50_fastvggt", "ate", "ScanNet-50, FastVGGT"),
        ),
        "FastVGGT's script takes world-to-camera matrices for poses and aligns the first pose "
        "alone.",
    ),
    Family(
        "points",
        "Chamfer distance",
        "the dataset's unit",
        (
            ("pi3_pointmap", "chamfer", "Pi3"),
            ("cut3r_pointmap", "chamfer", "CUT3R"),
            ("dtu_mvsnet", "overall", "MVSNet on DTU"),
            ("scannet50_sim3", "chamfer", "ScanNet-50, Sim(3)"),
            ("scannet50_fastvggt", "chamfer_sum", "ScanNet-50, FastVGGT"),
        ),
        "Pi3, MVSNet and Sim(3) align by a similarity over pixels and ICP, CUT3R by a scale in the "
        "first camera and ICP, FastVGGT by bounding boxes; FastVGGT adds accuracy and "
        "completeness, the others halve the sum.",
    ),
    Family(
        "fscore",
        "F-score",
        "share",
        (
            ("fscore", "fscore", "1 % of the diagonal"),
            ("scannet50_sim3", "fscore_5cm", "5 cm"),
            ("lite3r", "fscore_005", "Lite3R, 0.05 normalised"),
        ),
        "Lite3R aligns nothing: points count as predicted, at 0.05 of max(median depth, largest "
        "translation), so a reconstruction of free scale (by global alignment) is far off. The "
        "others align by a similarity and ICP first.",
    ),
)


@dataclass
class Measured:
    """Means of every method (rows) under every rule (columns) of a family on one dataset."""

    family: Family
    dataset: str
    means: pd.DataFrame
    scenes: int
    # by rule the best method, then those that are not told apart from it; too few scenes: none
    groups: dict[str, list[str]] = field(default_factory=dict)

    def moved(self) -> pd.Series:
        """Largest over smallest value of every method under all rules."""
        lowest = self.means.min(axis=1)
        return self.means.max(axis=1) / lowest.where(lowest > 0)

    def agreement(self) -> float:
        """Lowest Kendall's tau between the rankings by any two rules."""
        found = []
        for one, other in combinations(self.means, 2):
            found.append(kendalltau(self.means[one], self.means[other]).statistic)
        return float(np.min(found)) if np.isfinite(found).all() else float("nan")

    def best_under(self, rule: str) -> str | None:
        """The best method under one rule; None with too few scenes to tell."""
        return next(iter(self.groups.get(rule, [])), None)

    def tied_under(self, rule: str) -> list[str]:
        """The tie group of the best method under one rule, where it is tied with another."""
        group = self.groups.get(rule, [])
        return group if len(group) > 1 else []

    def best(self) -> dict[str, list[str]]:
        """Best method, marked where it is tied -> rules under which it is the best."""
        out: dict[str, list[str]] = {}
        for rule in map(str, self.means):
            best = self.best_under(rule)
            if best is not None:
                mark = TIED if self.tied_under(rule) else ""
                out.setdefault(f"{best}{mark}", []).append(rule)
        return out


def measured(e: Evidence) -> Iterator[Measured]:
    """Every family on every dataset where at least two rules and two methods have values.

    Controls are left out.
    """
    rows = e.ranked(e.rows_of("main"))
    labels = {setting: name_of(setting, rows) for setting in settings_of(rows)}
    for dataset, own in rows.groupby("dataset", sort=False):
        common = common_scenes(own)
        order = [labels[setting] for setting in settings_of(own)]
        for family in FAMILIES:
            found = _scores(own, family, common)
            means = {}
            groups = {}
            for called, scores in found.items():
                means[called] = {labels[s]: mean.mean for s, mean in scores.means.items()}
                groups[called] = [labels[s] for s in scores.places if s in scores.tied]
            table = pd.DataFrame(means).dropna()
            if table.shape[1] > 1 and len(table) > 1:
                table = table.loc[[label for label in order if label in table.index]]
                yield Measured(family, str(dataset), table, _most(found), groups)


def _scores(rows: pd.DataFrame, family: Family, common: pd.Index) -> dict[str, Scores]:
    """The common scenes under every rule that has values, by how the rule is called here."""
    found = {}
    for protocol, metric, called in family.variants:
        column = column_of(f"{protocol}/{metric}")
        if wide(rows, column).empty:
            continue
        values = of_scenes(rows, column, common)
        scores = Scores(values, column, weights_of(rows, column))
        if scores.means:
            found[called] = scores
    return found


def _most(found: dict[str, Scores]) -> int:
    return max((scores.scenes for scores in found.values()), default=0)
