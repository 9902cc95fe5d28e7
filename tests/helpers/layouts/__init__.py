"""The synthetic world in the true on-disk formats of the real datasets.

Every writer stores the world in its format's own conventions and returns it with the frames that
must come back, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.helpers.layouts.gathered import bonn, kitti, nrgbd, re10k, sintel
from tests.helpers.layouts.lenses import eth3d, tum, tum_distorted
from tests.helpers.layouts.objects import co3dv2, dtu_evaluation, dtu_test, megadepth, megadepth_exr
from tests.helpers.layouts.scannet import scannet, scannet_processed, scannet_stream
from tests.helpers.worlds import World


class Layout(NamedTuple):
    """A dataset's format."""

    dataset: str
    write: Callable[[Path], World]
    step: float  # of its stored depth, in its unit; 0: it has none


WRITERS = {
    "scannet": Layout("scannet", scannet, 1e-3),
    "scannet stream": Layout("scannet", scannet_stream, 1e-3),
    "scannet processed": Layout("scannet", scannet_processed, 1e-3),
    "dtu evaluation": Layout("dtu", dtu_evaluation, 1e-3),
    "dtu test": Layout("dtu", dtu_test, 0),
    "nrgbd": Layout("nrgbd", nrgbd, 1e-3),
    "tum": Layout("tum", tum, 2e-4),
    "tum distorted": Layout("tum", tum_distorted, 2e-4),
    "bonn": Layout("bonn", bonn, 2e-4),
    "sintel": Layout("sintel", sintel, 1e-6),
    "kitti": Layout("kitti", kitti, 1 / 256),
    "co3dv2": Layout("co3dv2", co3dv2, 0),
    "re10k": Layout("re10k", re10k, 0),
    "eth3d": Layout("eth3d", eth3d, 1e-6),
    "megadepth": Layout("megadepth", megadepth, 1e-6),
    "megadepth exr": Layout("megadepth", megadepth_exr, 1e-6),
}
