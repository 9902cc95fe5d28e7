"""One scene of every dataset: images, z-depth of every method, and maps of recursion depth."""

from __future__ import annotations

from collections.abc import Iterator

from bench3r.report.figures.panels import panel
from bench3r.report.figures.recursion import depth_maps
from bench3r.report.names import dataset_label
from bench3r.report.section import Canvas, Figure, Section


def scene_figures(canvas: Canvas) -> Iterator[Figure]:
    """A panel per dataset, and the maps where methods recur."""
    for dataset, found in canvas.examples.items():
        label = dataset_label(dataset)
        if isinstance(found, str):
            yield Figure(f"No panel for {label}: {found}", None, says_why=True)
            continue
        scene = found.scene
        kind = "procedural" if is_procedural(canvas, dataset) else "real"
        about = f"{scene.name} of {label} ({kind}), {len(scene.images)} frames"
        drawn = panel(scene, found.depths, canvas.folder, f"panel_{dataset}")
        yield Figure(f"Images and z-depth: {about}.", drawn)
        if found.recursion_depths:
            name = f"depth_maps_{dataset}"
            maps = depth_maps(scene, found.recursion_depths, found.patch, canvas.folder, name)
            yield Figure(f"Recursion depth of patches: {about}.", maps)


def is_procedural(canvas: Canvas, dataset: str) -> bool:
    """Whether the run's scenes of ``dataset`` are rendered."""
    table = canvas.run.table
    return bool(table[table["dataset"].eq(dataset)]["procedural"].eq(True).any())


SECTION = Section("scenes", 250, "scenes", figures=scene_figures)
