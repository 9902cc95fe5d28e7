"""What ``bench3r list`` prints."""

from __future__ import annotations

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.data.frame_lists import NAMES, load_list
from bench3r.models.catalogue import backbones
from bench3r.protocols import PROTOCOLS

Section = tuple[str, list[str], list[list[str]]]


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def sections(names: list[str]) -> list[Section]:
    """Title, column names and rows of each asked section."""
    makers = {
        "methods": _methods,
        "backbones": _backbones,
        "datasets": _datasets,
        "protocols": _protocols,
        "frame lists": _frame_lists,
    }
    return [makers[name]() for name in names]


def _methods() -> Section:
    classes, broken = METHODS.usable()
    rows = [[name, "CANNOT BE LOADED", "", "", str(error)] for name, error in broken.items()]
    for name, cls in classes.items():
        options = ", ".join(f"{k}={v.default}" for k, v in cls.Options.model_fields.items())
        rows.append([name, cls.label, cls.kind, options, _first_line(cls.__doc__)])
    return "methods", ["name", "label", "kind", "options (defaults)", "what it does"], rows


def _backbones() -> Section:
    return (
        "backbones",
        ["name", "scales"],
        [[n, ", ".join(network.scales)] for n, network in backbones().items()],
    )


def _datasets() -> Section:
    classes, broken = DATASETS.usable()
    rows = [[name, "CANNOT BE LOADED", str(error)] for name, error in broken.items()]
    for name, cls in classes.items():
        stand_in = (
            f"procedural stand-in: {cls.procedural_style}"
            if cls.procedural_style
            else "no procedural stand-in"
        )
        depth = "" if cls.has_depth else "; no true depth"
        what = f"{cls.label}: {cls.scene_type}, unit {cls.unit}{depth}; {stand_in}"
        rows.append([name, what, f"{cls.licence}. {cls.obtain}"])
    return "datasets", ["name", "what", "licence and how to get it"], rows


def _frame_lists() -> Section:
    rows = []
    for name in NAMES:
        found = load_list(name)
        counts = [len(f) for f in found.lists.values() if f is not None]
        frames = (
            f"{min(counts)} to {max(counts)} frames each, fixed"
            if counts
            else "frames by the run's counts"
        )
        rows.append([name, found.dataset, f"{len(found.lists)} scenes, {frames}", found.origin])
    return "frame lists", ["name", "dataset", "what", "origin"], rows


def _protocols() -> Section:
    rows = []
    for name, protocol in PROTOCOLS.all().items():
        metrics = ", ".join(metric.name for metric in protocol.metrics)
        about = _first_line(PROTOCOLS.module(PROTOCOLS.file_of(name)).__doc__)
        rows.append([name, str(protocol.version), metrics, about])
    return "protocols", ["name", "version", "metrics", "what it does"], rows
