"""One scene of every dataset: images, z-depth of every method, and maps of recursion depth."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.figures.panels import panel
from bench3r.report.figures.recursion import depth_maps
from bench3r.report.section import Canvas, Figure, Section


def scene_figures(canvas: Canvas) -> Iterator[Figure]:
    """A panel per dataset, and the maps where methods recur."""
    for dataset, found in canvas.examples.items():
        if isinstance(found, str):
            yield Figure(f"No panel for {dataset}: {found}", None, says_why=True)
            continue
        drawn = panel(found.scene, found.depths, canvas.folder, f"panel_{dataset}")
        yield Figure(f"One scene of {dataset}.", drawn)
        if found.recursion_depths:
            name = f"depth_maps_{dataset}"
            maps = depth_maps(found.scene, found.recursion_depths, found.patch, canvas.folder, name)
            yield Figure(f"Recursion depth in a scene of {dataset}.", maps)


SECTION = Section("scenes", 250, "scenes", figures=scene_figures)
