"""How every method looks: one colour and marker in all figures, hues by what it changes.

Hues are those of Okabe and Ito that people with the common kinds of colour blindness tell apart;
within a hue lightness and marker differ, and labels stand beside what they name.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import seaborn as sns

from bench3r.report.evidence import methods
from bench3r.report.figures.drawing import GREY, Colour

RAMPS: dict[str, tuple[str, ...]] = {  # from the first to the last method of a family
    "unchanged backbone": ("#000000", "#5a5a5a"),
    "adapts depth": ("#08306b", "#0072b2", "#63b8ee"),
    "shallower backbone": ("#c0669a", "#cc79a7"),
    "changes attention": ("#7a2c00", "#d55e00", "#eba200"),
    "whole model": ("#00513b", "#00a578"),
    "control": ("#a4a4a4", "#c6c6c6"),
}
MARKERS = "os^DvPX<>"


class Look(NamedTuple):
    """Colour and marker of a method."""

    colour: Colour
    marker: str


UNKNOWN = Look(GREY, "o")


@cache
def looks() -> dict[str, Look]:
    """The look of every usable method by name."""
    members: dict[str, list[str]] = {family: [] for family in RAMPS}
    for name in sorted(methods()):
        members[family_of(name)].append(name)
    found: dict[str, Look] = {}
    for family, names in members.items():
        colours = sns.blend_palette(RAMPS[family], len(names)) if names else []
        for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
            found[name] = Look(tuple(colour[:3]), MARKERS[place % len(MARKERS)])
    return found


def look_of(method: str) -> Look:
    """The look of ``method``; grey where it is not installed here."""
    return looks().get(method, UNKNOWN)


def family_of(method: str) -> str:
    """What ``method`` changes: a key of :data:`RAMPS`."""
    known = methods()[method]
    kinds = {"backbone": "unchanged backbone", "control": "control", "model": "whole model"}
    if known.kind in kinds:
        return kinds[known.kind]
    if known.depth_control:
        return "shallower backbone"
    return "adapts depth" if "schedule" in known.hooks else "changes attention"
