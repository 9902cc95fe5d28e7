"""What ``bench3r list`` prints."""

from __future__ import annotations

from typing import NamedTuple

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.method import METHODS
from bench3r.data.frame_lists import NAMES, load_list
from bench3r.models.catalogue import backbones
from bench3r.protocols import PROTOCOLS

BROKEN = "CANNOT BE LOADED"


class Section(NamedTuple):
    """A table of what there is of one kind."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def sections(names: list[str]) -> list[Section]:
    """The sections called ``names``: methods, backbones, datasets, protocols or frame lists."""
    makers = {
        "methods": _methods,
        "backbones": _backbones,
        "datasets": _datasets,
        "protocols": _protocols,
        "frame lists": _frame_lists,
    }
    return [makers[name]() for name in names]


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def _methods() -> Section:
    classes, broken = METHODS.usable()
    rows = [[name, BROKEN, "", "", str(error)] for name, error in broken.items()]
    for name, cls in classes.items():
        options = ", ".join(f"{k}={v.default}" for k, v in cls.Options.model_fields.items())
        rows.append([name, cls.label, cls.kind, options, _first_line(cls.__doc__)])
    return Section("methods", ["name", "label", "kind", "options (defaults)", "what it does"], rows)


def _backbones() -> Section:
    rows = [[name, ", ".join(network.scales)] for name, network in backbones().items()]
    return Section("backbones", ["name", "scales"], rows)


def _datasets() -> Section:
    classes, broken = DATASETS.usable()
    rows = [[name, BROKEN, str(error)] for name, error in broken.items()]
    for name, cls in classes.items():
        rows.append([name, _about(cls), f"{cls.licence}. {cls.obtain}"])
    return Section("datasets", ["name", "what", "licence and how to get it"], rows)


def _about(cls: type[Dataset]) -> str:
    style = cls.procedural_style
    stand_in = f"procedural stand-in: {style}" if style else "no procedural stand-in"
    depth = "" if cls.has_depth else "; no true depth"
    return f"{cls.label}: {cls.scene_type}, unit {cls.unit}{depth}; {stand_in}"


def _frame_lists() -> Section:
    rows = []
    for name in NAMES:
        found = load_list(name)
        counts = [len(frames) for frames in found.lists.values() if frames is not None]
        frames = "frames by the run's counts"
        if counts:
            frames = f"{min(counts)} to {max(counts)} frames each, fixed"
        rows.append([name, found.dataset, f"{len(found.lists)} scenes, {frames}", found.origin])
    return Section("frame lists", ["name", "dataset", "what", "origin"], rows)


def _protocols() -> Section:
    arrows = {"higher": " ↑", "lower": " ↓", "": ""}
    rows = []
    for name, protocol in PROTOCOLS.all().items():
        metrics = ", ".join(f"{m.name} ({m.unit}{arrows[m.better]})" for m in protocol.metrics)
        about = _first_line(PROTOCOLS.module(PROTOCOLS.file_of(name)).__doc__)
        rows.append([name, str(protocol.version), metrics, about])
    columns = ["name", "version", "metrics (unit, better way)", "what it does"]
    return Section("protocols", columns, rows)
