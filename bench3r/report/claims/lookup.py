"""What a run measured under the conditions of a paper's number, or what it lacks for that."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.metrics.statistics import Interval
from bench3r.models.catalogue import label_of_network, trunk_pairs
from bench3r.report.claims.ledger import Ledger
from bench3r.report.claims.rules import Measurement, Options, Place, Subject
from bench3r.report.columns import column_of
from bench3r.report.evidence import CostRow, RunEvidence, Setting
from bench3r.report.summary import interval, over_seeds, weights_of, wide

SCALE = "full"  # the one at which papers measure
FEWEST_SCENES = 6  # of a paper's, for a mean to be held against its number
COSTS = ("time", "memory", "largest")  # quantities of the profile stage
OWN_WEIGHTS = ("train", "shipped")  # bases that are not the published ones


@dataclass(frozen=True)
class Found:
    """What a run measured."""

    value: float
    low: float
    high: float  # 95 % CI over scenes; of costs the value itself
    count: int  # scenes, or calls
    what: str  # of what so many
    status: str = "ok"

    def times(self, factor: float) -> Found:
        """The same in another unit."""
        return Found(
            value=self.value * factor,
            low=self.low * factor,
            high=self.high * factor,
            count=self.count,
            what=self.what,
            status=self.status,
        )


@dataclass(frozen=True)
class Missing:
    """What a number needs, and what the run has in its place."""

    needs: str
    has: str

    def __str__(self) -> str:
        return f"needs {self.needs}; this run has {self.has}"


def listed(missing: list[tuple[str, Missing]]) -> list[str]:
    """What quantities lack, in words; those that lack the same together."""
    same: dict[Missing, list[str]] = {}
    for quantity, one in missing:
        same.setdefault(one, []).append(quantity or "a number")
    lines = []
    for one, quantities in same.items():
        lines.append(f"{', '.join(dict.fromkeys(quantities))}: {one}")
    return lines


def has_defaults(setting: Setting, wanted: Options) -> bool:
    """Whether the options are the method's defaults but for ``wanted``."""
    defaults = METHODS.get(setting.method).Options().model_dump(mode="json")
    return bool(setting.values == {**defaults, **wanted})


def name_of(subject: Subject, ledger: Ledger) -> str:
    """A subject as it is printed: method, what is not at its default, backbone."""
    outside = ledger.outside
    method = outside.get(subject.method) or METHODS.get(subject.method).label
    if subject.options:
        given = [f"{name} {value}" for name, value in subject.options.items()]
        method += f" ({', '.join(given)})"
    if subject.method == subject.backbone:
        return method
    return f"{method} on {outside.get(subject.backbone) or label_of_network(subject.backbone)}"


def find(
    number: Measurement, subject: Subject, ledger: Ledger, run: RunEvidence
) -> Found | Missing:
    """What the run measured of ``subject`` for ``number``, in the unit of the records."""
    return _Search(number, subject, ledger, run).found()


@dataclass(frozen=True)
class _Search:
    """One number of one subject in one run."""

    number: Measurement
    subject: Subject
    ledger: Ledger
    run: RunEvidence

    @property
    def place(self) -> Place:
        return self.ledger.places[self.number.place]

    @property
    def is_cost(self) -> bool:
        return self.number.quantity in COSTS

    def found(self) -> Found | Missing:
        """The number; what is missing where a condition is not met."""
        lacks = self.number.lacks or self.place.lacks or self.subject.lacks
        if lacks:
            return Missing(self.needs, f"no way to measure it: {lacks}")
        other = [*self._network(), *(self._cost() if self.is_cost else self._scenes())]
        if other:
            return Missing(self.needs, ", ".join(other))
        return self._cost_value() if self.is_cost else self._score()

    @property
    def needs(self) -> str:
        """The conditions in words."""
        place = self.place
        words = [f"scale {SCALE}", name_of(self.subject, self.ledger)]
        where = f"on {_dataset_label(place.dataset)}" if place.dataset else ""
        if self.number.quantity != "largest":
            where += f" {self._frames}"
        words.append(where.strip())
        if self.is_cost and place.device:
            one = place.gpus == 1
            count = "an" if one else str(place.gpus)
            words.append(f"on {count} {place.device}-class GPU{'' if one else 's'}")
        return ", ".join(word for word in words if word)

    @property
    def _frames(self) -> str:
        if not self.place.frames:
            return f"with the frame list {self.place.frame_list}"
        listed = f" of the list {self.place.frame_list}" if self.place.frame_list else ""
        return f"at {self.place.frames:,} frames{listed}"

    def _network(self) -> list[str]:
        """What differs in the network: scale, precision, method, backbone."""
        config = self.run.plan.config
        other = []
        if config.scale != SCALE:
            other.append(f"scale {config.scale}")
        if config.precision != self.place.precision:
            other.append(f"precision {config.precision}")
        for name in (self.subject.method, self.subject.backbone):
            if name in self.ledger.outside:
                other.append(f"no {self.ledger.outside[name]}: it is no part of this benchmark")
                return other
        if not self._is_here():
            other.append(f"no {name_of(self.subject, self.ledger)}")
        pairs = self.subject.pairs
        if pairs and trunk_pairs(self.subject.backbone, SCALE) != pairs:
            here = trunk_pairs(self.subject.backbone, SCALE)
            label = label_of_network(self.subject.backbone)
            other.append(f"a {label} of {here} global layers in place of {pairs}")
        return other

    def _is_here(self) -> bool:
        """Whether the run has records of the method on the backbone."""
        if self.is_cost:
            return bool(self._costs_of_subject())
        return not self._own_rows().empty

    def _own_rows(self) -> pd.DataFrame:
        table = self.run.table
        same = table["method"].eq(self.subject.method)
        return table[same & table["backbone"].eq(self.subject.backbone)]

    def _scenes(self) -> list[str]:
        """What differs in data and weights, for scores."""
        other = [*self._data(), *self._weights()]
        config = self.run.plan.config
        counts = sorted(int(n) for n in self.run.table["frames"].unique())
        if self.place.frames not in counts:
            other.append(f"{_listed(counts)} frames")
        if self.place.points and config.points != self.place.points:
            other.append(f"points of {config.points} in place of {self.place.points}")
        return other

    def _data(self) -> list[str]:
        place = self.place
        label = _dataset_label(place.dataset)
        wanted = self.run.plan.config.datasets.get(place.dataset)
        rows = self.run.table[self.run.table["dataset"].eq(place.dataset)]
        if wanted is None or rows.empty:
            return [f"no {label}"]
        if wanted.root == "procedural" or rows["procedural"].eq(True).any():
            return [f"procedural scenes in place of {label}'s"]
        other = []
        if place.frame_list and wanted.frame_list != place.frame_list:
            other.append(f"the frame list {wanted.frame_list or 'of the run itself'}")
        if place.step and wanted.step != place.step:
            other.append(f"every {wanted.step}-th frame" if wanted.step else "frames spread evenly")
        return other

    def _weights(self) -> list[str]:
        """What differs in weights: those of the base, and what the method learned."""
        config = self.run.plan.config
        backbone = self.subject.backbone
        base = config.base if isinstance(config.base, str) else config.base.get(backbone, "")
        if base in OWN_WEIGHTS:
            return [f"a base that is not the published one ({base})"]
        trainings = self.run.first.trainings
        own = trainings["method"].eq(self.subject.method) & trainings["backbone"].eq(backbone)
        steps = pd.to_numeric(trainings[own]["steps"]).fillna(0)
        if len(steps) and steps.max() < self.subject.steps:
            return [f"{steps.max():,.0f} training steps in place of {self.subject.steps:,}"]
        return []

    def rows(self) -> pd.DataFrame:
        """The scores of the subject's method and backbone at the place."""
        rows = self._own_rows()
        return rows[rows["dataset"].eq(self.place.dataset) & rows["frames"].eq(self.place.frames)]

    def scores(self, rows: pd.DataFrame) -> pd.Series | None:
        """Of ``rows`` the subject's value of every scene; None without its options."""
        values = over_seeds(wide(rows, column_of(self.number.quantity)))
        for setting in values.columns:
            if has_defaults(setting, self.subject.options):
                return values[setting].dropna()
        return None

    def _score(self) -> Found | Missing:
        """Mean over scenes; what is missing where too few have a value."""
        rows = self.rows()
        column = column_of(self.number.quantity)
        if not (rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)).any():
            return Missing(self.needs, self._why_unscored(rows, column.protocol))
        scenes = self.scores(rows)
        if scenes is None:
            return Missing(self.needs, "other options")
        fewest = min(FEWEST_SCENES, self.place.scenes)
        if len(scenes) < fewest:
            has = f"values of {len(scenes)} scenes, fewer than {fewest}"
            return Missing(self.needs, has)
        return self._mean(scenes, interval(scenes, weights_of(rows, column)))

    @staticmethod
    def _why_unscored(rows: pd.DataFrame, protocol: str) -> str:
        """Why ``rows`` have no scores of a protocol: the first failure, or it was not asked."""
        failed = rows[~rows["status"].eq("ok")]
        if failed.empty:
            return f"no scores of the protocol {protocol} there"
        first = failed.iloc[0]
        return f"no scores there ({first['status']}: {first['reason']})"

    def _mean(self, scenes: pd.Series, found: Interval | None) -> Found:
        assert found is not None
        count = len(scenes)
        whole = count >= self.place.scenes
        return Found(
            value=found.mean,
            low=found.mean if whole else found.low,  # the paper's scenes are no sample
            high=found.mean if whole else found.high,
            count=count,
            what=f"of {self.place.scenes} scenes",
        )

    def _costs_of_subject(self) -> list[CostRow]:
        costs = self.run.largest if self.number.quantity == "largest" else self.run.first.costs
        subject = self.subject
        return [
            row for row in costs if (row.method, row.backbone) == (subject.method, subject.backbone)
        ]

    def _cost(self) -> list[str]:
        """What differs in device and inputs, for costs."""
        place = self.place
        costs = self.run.largest if self.number.quantity == "largest" else self.run.first.costs
        other = []
        if place.gpus > 1:
            other.append("one GPU a scene")
        devices = sorted({row.device for row in costs if row.device})
        if place.device and not any(map(self._right_device, devices)):
            other.append(" and ".join(devices) or "no known device")
        if self.number.quantity != "largest":
            counts = sorted({row.frames for row in costs})
            if place.frames not in counts:
                other.append(f"costs of {_listed(counts)} frames")
        procedural = self.run.table["procedural"]
        if len(procedural) and procedural.eq(True).all():
            other.append("procedural inputs")
        return other

    def _right_device(self, device: str) -> bool:
        parts = self.ledger.devices[self.place.device]
        return any(re.search(rf"\b{re.escape(part)}\b", device) for part in parts)

    def _cost_value(self) -> Found | Missing:
        """Time, memory or the maximum frame count of the setting; a failure is one, too."""
        for row in self._costs_of_subject():
            right_count = self.number.quantity == "largest" or row.frames == self.place.frames
            if right_count and has_defaults(row.setting, self.subject.options):
                return self._of_row(row)
        return Missing(self.needs, "other options")

    def _of_row(self, row: CostRow) -> Found | Missing:
        if self.place.device and row.device and not self._right_device(row.device):
            return Missing(self.needs, row.device)
        image = self.place.image
        if image and row.image_size and any(row.image_size) and row.image_size != image:
            return Missing(self.needs, f"images of {_size(row.image_size)} for {_size(image)}")
        if not row.ok and self.number.quantity != "largest":
            if row.status == "oom":
                return Found(math.nan, math.nan, math.nan, 1, "try", row.status)
            return Missing(self.needs, f"{row.status}: {row.reason}")
        value = self._quantity(row)
        if not math.isfinite(value):
            return Missing(self.needs, f"no {self.number.quantity} in the record")
        return Found(value, value, value, max(1, len(row.seconds)), "calls")

    def _quantity(self, row: CostRow) -> float:
        if self.number.quantity == "largest":
            return math.nan if row.largest is None else float(row.largest)
        return row.median_seconds if self.number.quantity == "time" else row.peak_gpu_bytes

    def row(self) -> CostRow | None:
        """The measured cost of the subject at these frames; None when there is none."""
        for row in self._costs_of_subject():
            measured = row.ok and row.frames == self.place.frames
            if measured and has_defaults(row.setting, self.subject.options):
                return row
        return None


def scores_of(number: Measurement, subject: Subject, ledger: Ledger, run: RunEvidence) -> pd.Series:
    """The subject's values by scene; empty without any."""
    search = _Search(number, subject, ledger, run)
    values = search.scores(search.rows())
    return pd.Series(dtype=float) if values is None else values


def ratio_of_times(
    number: Measurement, subjects: tuple[Subject, Subject], ledger: Ledger, run: RunEvidence
) -> float | None:
    """The first subject's time over the second's, of calls that were taken in turn.

    That is where one of the two is the unchanged backbone of the other; None elsewhere.
    """
    first, second = subjects
    for plain, changed, sign in ((first, second, 1), (second, first, -1)):
        if plain.method != plain.backbone or plain.backbone != changed.backbone:
            continue
        row = _Search(number, changed, ledger, run).row()
        if row and row.seconds and row.reference_seconds:
            return float((np.median(row.reference_seconds) / row.median_seconds) ** sign)
    return None


def _listed(counts: list[int]) -> str:
    names = [f"{count:,}" if count else "listed" for count in counts]
    return ", ".join(names) or "no"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _dataset_label(name: str) -> str:
    known = DATASETS.files()
    return DATASETS.get(name).label if name in known else name
