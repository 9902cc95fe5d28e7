"""Under which conditions a paper's number was measured, and in what a run differs from them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.models.catalogue import label_of_network, trunk_pairs
from bench3r.report.claims.here import has_defaults
from bench3r.report.claims.ledger import Ledger
from bench3r.report.claims.rules import Measurement, Place, Subject
from bench3r.report.costs import CostRow
from bench3r.report.evidence import RunEvidence
from bench3r.report.memo import once_per_table

SCALE = "full"  # the one at which papers measure
COSTS = ("time", "memory", "largest")  # quantities of the profile stage
OWN_WEIGHTS = ("train", "shipped")  # bases that are not the published ones


@dataclass(frozen=True)
class Missing:
    """What a number needs, and what the run has in its place."""

    needs: str
    has: tuple[str, ...]

    def __str__(self) -> str:
        return f"needs {self.needs}; this run has {', '.join(self.has)}"


def listed(missing: list[tuple[str, Missing]]) -> list[str]:
    """What quantities lack, in words: those that lack the same together, what all lack once."""
    same: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for quantity, one in missing:
        same.setdefault(one.has, {}).setdefault(one.needs, []).append(quantity or "a number")
    shared = set.intersection(*(set(has) for has in same)) if len(same) > 1 else set()
    lines = []
    for has, needs in same.items():
        own = [reason for reason in has if reason not in shared]
        lines.append(_asked(needs) + (f"; this run has {', '.join(own)}" if own else ""))
    if shared:
        first = next(iter(same))
        lines.append(f"for all, this run has {', '.join(r for r in first if r in shared)}")
    return lines


def _asked(needs: dict[str, list[str]]) -> str:
    """What is needed, by what for; where it is for the same, that is said once."""
    by_names: dict[str, list[str]] = {}
    for one, names in needs.items():
        listed = by_names.setdefault(_quantities(names), [])
        listed.append(one.removeprefix(f"scale {SCALE}, ") if listed else one)
    return " and ".join(f"{names}: needs {', and '.join(n)}" for names, n in by_names.items())


def _quantities(names: list[str]) -> str:
    """Costs by their names, and how many scores by which protocol."""
    counts: dict[str, int] = {}
    for name in names:
        protocol, _, metric = name.partition("/")
        counts[protocol if metric else name] = counts.get(protocol if metric else name, 0) + 1
    words = []
    for name, count in counts.items():
        scores = f"{count} score{'' if count == 1 else 's'} by {name}"
        words.append(name if name in COSTS or name == "a number" else scores)
    return ", ".join(words)


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


@dataclass(frozen=True)
class Asked:
    """One number of one subject, asked of one run."""

    number: Measurement
    subject: Subject
    ledger: Ledger
    run: RunEvidence

    @property
    def place(self) -> Place:
        """The paper's conditions."""
        return self.ledger.places[self.number.place]

    @property
    def is_cost(self) -> bool:
        """Whether the profile stage measures it."""
        return self.number.quantity in COSTS

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

    def missing(self) -> Missing | None:
        """In what the run differs from the conditions; None where it is like them."""
        lacks = self.number.lacks or self.place.lacks or self.subject.lacks
        if lacks:
            return Missing(self.needs, (f"no way to measure it: {lacks}",))
        other = [*self._network(), *(self._cost() if self.is_cost else self._scenes())]
        return Missing(self.needs, tuple(other)) if other else None

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
            return bool(self.costs())
        return not self.own_rows().empty

    def own_rows(self) -> pd.DataFrame:
        """The scores of the subject's method and backbone."""
        return _rows_of(self.run.table, self.subject.method, self.subject.backbone)

    def rows(self) -> pd.DataFrame:
        """Of :meth:`own_rows` those at the place."""
        rows = self.own_rows()
        return rows[rows["dataset"].eq(self.place.dataset) & rows["frames"].eq(self.place.frames)]

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
        rows = _rows_on(self.run.table, place.dataset)
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

    def costs(self) -> list[CostRow]:
        """The measured costs, or searches, of the subject's method and backbone."""
        rows = self.run.largest if self.number.quantity == "largest" else self.run.first.costs
        subject = (self.subject.method, self.subject.backbone)
        return [row for row in rows if (row.method, row.backbone) == subject]

    def cost(self) -> CostRow | None:
        """The cost of the subject at the place, measured or failed; None when there is none."""
        for row in self.costs():
            right_count = self.number.quantity == "largest" or row.frames == self.place.frames
            if right_count and has_defaults(row.setting, self.subject.options):
                return row
        return None

    def _cost(self) -> list[str]:
        """What differs in device and inputs, for costs."""
        place = self.place
        costs = self.run.largest if self.number.quantity == "largest" else self.run.first.costs
        other = []
        if place.gpus > 1:
            other.append("one GPU a scene")
        devices = sorted({row.device for row in costs if row.device})
        if place.device and not any(map(self.right_device, devices)):
            other.append(" and ".join(devices) or "no known device")
        if self.number.quantity != "largest":
            counts = sorted({row.frames for row in costs})
            if place.frames not in counts:
                other.append(f"costs of {_listed(counts)} frames")
        procedural = self.run.table["procedural"]
        if len(procedural) and procedural.eq(True).all():
            other.append("procedural inputs")
        return other

    def right_device(self, device: str) -> bool:
        """Whether a device is of the paper's class."""
        parts = self.ledger.devices[self.place.device]
        return any(re.search(rf"\b{re.escape(part)}\b", device) for part in parts)


@once_per_table
def _rows_of(table: pd.DataFrame, method: str, backbone: str) -> pd.DataFrame:
    return table[table["method"].eq(method) & table["backbone"].eq(backbone)]


@once_per_table
def _rows_on(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    return table[table["dataset"].eq(dataset)]


def _listed(counts: list[int]) -> str:
    names = [f"{count:,}" if count else "listed" for count in counts]
    return ", ".join(names) or "no"


def _dataset_label(name: str) -> str:
    known = DATASETS.files()
    return DATASETS.get(name).label if name in known else name
