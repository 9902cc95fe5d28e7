"""Colours of methods: families that people with colour blindness tell apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from bench3r.report.figures.looks import RAMPS, family_of, look_of, looks

SEEN = {  # Machado et al. 2009, complete: how linear RGB is seen
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
APART = 12.0  # CIEDE2000 from which on two colours are plainly different


def seen(colour: str, matrix: list[list[float]]) -> np.ndarray:
    """A colour as it is seen, in CIELAB [3]."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    changed = np.clip(np.array(matrix) @ linear, 0, 1)
    back = np.where(changed <= 0.0031308, changed * 12.92, 1.055 * changed ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None, None])[0, 0]


@pytest.mark.parametrize("kind", SEEN)
def test_families_differ_for_colour_blind_readers(kind):
    middles = {family: seen(ramp[len(ramp) // 2], SEEN[kind]) for family, ramp in RAMPS.items()}
    for (one, a), (other, b) in itertools.combinations(middles.items(), 2):
        assert deltaE_ciede2000(a, b) > APART, (kind, one, other)


def test_members_of_a_family_differ_in_colour_or_marker():
    found = looks()
    assert len(set(found.values())) == len(found)
    assert {family_of(name) for name in found} == set(RAMPS)


def test_a_method_looks_the_same_whatever_else_a_figure_shows():
    assert look_of("vggt") == looks()["vggt"]
    assert look_of("no such method").marker == "o"
