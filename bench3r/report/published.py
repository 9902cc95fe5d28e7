"""FLOPs at published size over frame counts: what needs no GPU and no weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS, Method, cost_of
from bench3r.models.catalogue import backbones, label_of_network, reference_backbone, unchanged_cost
from bench3r.report.tables import Table

PUBLISHED_FRAMES = (1, 2, 8, 32, 100, 300, 1000, 3000, 10000)
PUBLISHED_SCALE = "full"
ORDER = ("backbone", "plugin", "model")  # of the rows, by kind of method


@dataclass(frozen=True)
class Count:
    """The FLOPs of a method on a backbone at a frame count, or the reason why there are none."""

    method: str
    label: str
    kind: str
    backbone: str
    scale: str
    frames: int
    image_size: str = ""
    flops: float = float("nan")
    times_fewer: float = float("nan")  # the unchanged backbone's count over this one
    assumed: str = ""  # what is given instead of decided by content
    reason: str = ""
    parts: dict[str, float] = field(default_factory=dict)  # FLOPs by part of the model

    @property
    def key(self) -> tuple[str, str]:
        """Method and backbone: what has a row of its own."""
        return self.method, self.backbone

    @property
    def on(self) -> str:
        """`` on BACKBONE`` of methods that run on several."""
        return f" on {label_of_network(self.backbone)}" if self.kind == "plugin" else ""

    def row(self) -> dict[str, object]:
        """All of it by column, FLOPs of parts as "flops/PART"."""
        row: dict[str, object] = dict(vars(self))
        del row["parts"]
        row["computed_by"] = (
            f"closed form `cost` of methods/{self.method}.py on the sizes of {self.backbone} at "
            f"scale {self.scale}; nothing ran, so there is no record"
        )
        for part, flops in self.parts.items():
            row[f"flops/{part}"] = flops
        return row


def published_counts(
    scale: str = PUBLISHED_SCALE, frames: Sequence[int] = PUBLISHED_FRAMES
) -> list[Count]:
    """FLOPs of every method with its defaults, on every backbone that it can run on.

    Raises Bench3RError for a scale that no backbone has, and for frames below 1.
    """
    if not frames or min(frames) < 1:
        raise Bench3RError(f"frames: every frame count must be at least 1, got {list(frames)}")
    known = sorted({s for network in backbones().values() for s in network.scales})
    if scale not in known:
        text = f"no backbone has a configuration for scale {scale!r} (there are {', '.join(known)})"
        raise Bench3RError(text)
    out = []
    for name, cls in METHODS.usable()[0].items():
        if cls.kind == "control":
            continue
        for backbone in cls.backbones or _all_backbones():
            out += [_count(name, cls(), backbone, scale, n) for n in frames]
    return sorted(out, key=lambda count: ORDER.index(count.kind))


def _all_backbones() -> list[str]:
    """All of them, the one that whole models are compared with first."""
    return sorted(backbones(), key=lambda name: name != reference_backbone())


def _count(name: str, method: Method, backbone: str, scale: str, frames: int) -> Count:
    """One count, or why there is none."""
    try:
        method.check(backbone, scale)
        dense = unchanged_cost(backbone, scale, frames)
        found = cost_of(method, dense)
        compared = dense
        if method.kind == "model":
            compared = unchanged_cost(reference_backbone(), scale, frames)
    except Bench3RError as error:  # options that do not fit, one image for a pairwise model
        return Count(
            name, method.label, method.kind, backbone, scale, frames=frames, reason=str(error)
        )
    return Count(
        name,
        method.label,
        method.kind,
        backbone,
        scale,
        frames=frames,
        image_size=f"{dense.size[0]} x {dense.size[1]}",
        flops=2 * found.macs,
        times_fewer=compared.total / found.macs,
        assumed=found.assumed,
        parts={part: 2 * macs for part, macs in found.parts.items()},
    )


def published_table(
    scale: str = PUBLISHED_SCALE, frames: Sequence[int] = PUBLISHED_FRAMES
) -> Table:
    """The counts as a table: methods on backbones against frame counts, in TFLOPs.

    Raises Bench3RError as :func:`published_counts` does.
    """
    counts = published_counts(scale, frames)
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for count in counts:
        row = shown.setdefault(count.key, {"method": f"{count.label}{count.on}"})
        row[f"{count.frames:,} frames"] = _cell(count)
    return Table(
        name=f"published_flops_{scale}",
        title=f"FLOPs at {scale} scale over frames",
        caption=f"Computed by Bench3R at scale `{scale}`, from the sizes of the models alone.",
        shown=pd.DataFrame(shown.values()),
        raw=pd.DataFrame(map(Count.row, counts)),
        notes=_notes(counts),
    )


def _cell(count: Count) -> str:
    if count.reason:
        return "–"
    value = count.flops / 1e12
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return text if count.kind == "backbone" else f"{text} ({count.times_fewer:.2f})"


def _notes(counts: list[Count]) -> list[str]:
    reference = label_of_network(reference_backbone())
    sizes = sorted({c.image_size for c in counts if c.image_size})
    notes = [
        "TFLOPs (2 x multiply-adds) of one forward pass with default options; in brackets how many "
        f"times fewer than the unchanged backbone (of pairwise models: than {reference}) at the "
        "same number of frames. Counted in closed form, no weights and no device: a FLOP count is "
        "no speed-up.",
        f"Images: {', '.join(sizes)} pixels.",
    ]
    assumed: dict[str, dict[int, Count]] = {}  # by method and frames, of its first backbone
    refused: dict[tuple[str, str, str], Count] = {}
    for count in counts:
        if count.assumed:
            assumed.setdefault(count.method, {}).setdefault(count.frames, count)
        if count.reason:
            refused.setdefault((*count.key, count.reason), count)
    for by_frames in assumed.values():
        own = list(by_frames.values())
        notes.append(f"{own[0].label}: {_assumption(own)}.")
    for one in refused.values():
        network = label_of_network(one.backbone)
        notes.append(f"{one.label} on {network} has no count: {one.reason}.")
    return notes


def _assumption(counts: list[Count]) -> str:
    """What a method's counts stand on; where it changes with the frames, that of the last."""
    last = counts[-1]
    if all(count.assumed == last.assumed for count in counts):
        return last.assumed
    return f"{last.assumed} at {last.frames:,} frames"
