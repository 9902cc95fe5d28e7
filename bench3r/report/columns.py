"""Columns of tables: which metric of which protocol, its head, and how its numbers read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench3r.api.errors import Bench3RError
from bench3r.protocols import metric_of
from bench3r.protocols.base import Better

ARROWS = {"lower": " ↓", "higher": " ↑", "": ""}
SIGNIFICANT = 2  # digits of an interval's half-width that are shown
MOST_DIGITS = 6  # after the decimal point
NO_NUMBER = "–"
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


def without_signed_zero(text: str) -> str:
    """A formatted number; one of zeros alone loses its sign."""
    return text if text.strip("+-0.%") else text.lstrip("+-")


def fixed(value: float, digits: int, signed: bool = False) -> str:
    """``value`` with ``digits`` after the decimal point, without a sign when it rounds to zero.

    A dash where there is no number.
    """
    if not math.isfinite(value):
        return NO_NUMBER
    return without_signed_zero(f"{value:{'+' if signed else ''}.{digits}f}")


def digits_of(low: float, high: float, digits: int = 3, noise: float = 0.0) -> int:
    """Digits after the decimal point that an interval from ``low`` to ``high`` supports.

    As many as show two significant digits of its half-width, and none below ``noise``, the
    numerical noise of the quantity; ``digits`` where there is no interval, or one without width.
    """
    half = (high - low) / 2
    if not math.isfinite(half) or half <= 0:
        return digits
    wanted = SIGNIFICANT - 1 - math.floor(math.log10(half))
    most = math.ceil(-math.log10(noise)) if noise > 0 else MOST_DIGITS
    return max(0, min(wanted, most, MOST_DIGITS))


def by_interval(
    value: float,
    low: float,
    high: float,
    digits: int = 3,
    *,
    noise: float = 0.0,
    signed: bool = False,
) -> str:
    """``value [low, high]`` with the digits that the interval supports; see :func:`digits_of`.

    The value alone, with ``digits``, where there is no interval; ``signed`` for differences.
    """
    shown = digits_of(low, high, digits, noise)
    text = fixed(value, shown, signed)
    if text == NO_NUMBER or not (math.isfinite(low) and math.isfinite(high)):
        return text
    return f"{text} [{fixed(low, shown, signed)}, {fixed(high, shown, signed)}]"
