"""Columns of tables: which metric of which protocol, and how it is headed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench3r.api.errors import Bench3RError
from bench3r.protocols import metric_of
from bench3r.protocols.base import Better

ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}
PLAIN = ("ratio", "share", "cosine", "rank correlation", "recursions")  # units that heads leave out


@dataclass(frozen=True)
class Column:
    """A metric as a column of tables."""

    title: str
    protocol: str
    metric: str
    unit: str
    better: Better
    digits: int = 3

    @property
    def key(self) -> str:
        """Protocol and metric, as in the names of raw columns."""
        return f"{self.protocol}/{self.metric}"


def column_of(key: str, label: str = "", note: str = "") -> Column:
    """The column of the metric ``key`` ("protocol/metric"), headed as its protocol says.

    ``label`` and ``note`` stand in place of the protocol's label and of the unit. Raises
    Bench3RError when there is no such metric.
    """
    protocol, _, name = key.partition("/")
    if not name:
        raise Bench3RError(f"{key!r} is no metric: expected protocol/metric")
    metric = metric_of(protocol, name)
    unit = "" if metric.unit in PLAIN else metric.unit.replace("^2", "²")
    bracket = note or unit
    title = f"{label or metric.label}{ARROWS[metric.better]}"
    if bracket:
        title += f" ({bracket})"
    return Column(title, protocol, name, metric.unit, metric.better, metric.digits)


def columns_of(keys: Iterable[str]) -> tuple[Column, ...]:
    """The columns of several metrics."""
    return tuple(column_of(key) for key in keys)


QUALITY = (
    column_of("pi3_pointmap/chamfer_norm"),
    column_of("fscore/fscore", note="1 % of diagonal"),
    column_of("depth_median/mse_norm"),
    column_of("relpose_pi3/rot_deg", label="camera"),
)
DETAIL = columns_of(
    (
        "depth_median/absrel",
        "depth_median/delta1",
        "pi3_pointmap/nc_mean",
        "relpose_pi3/rot_deg",
        "relpose_pi3/trans_deg",
        "relpose_pi3/auc30",
    )
)
