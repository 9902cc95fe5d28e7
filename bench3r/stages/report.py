"""Report: tables and figures of a run in reports/<run>/, from the collected table alone, plus saved predictions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bench3r.dataset import Dataset, SceneData, load_scene
from bench3r.errors import Bench3RError
from bench3r.files import read_json, read_jsonl, read_npz, write_text
from bench3r.models.scales import input_size
from bench3r.plan import Plan
from bench3r.registry import load_one
from bench3r.report import figures
from bench3r.report.summary import holes
from bench3r.report.tables import DETAIL, QUALITY, Table, add_reported, comparison
from bench3r.stages import paths

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def caption(plan: Plan, table: pd.DataFrame) -> str:
    """What the numbers stand on: scale, weights, data, device, protocols, date."""
    config = plan.run_config()
    data = []
    for name, rows in table.groupby("dataset", sort=False):
        kind = "PROCEDURAL scenes in its layout, not the real data" if rows["procedural"].eq(True).any() else "real data"
        data.append(f"{name} ({kind}, {rows['scene'].nunique()} scenes)")
    devices = ", ".join(sorted(table["device"].dropna().unique())) or "unknown device"
    return (
        f"Measured by Bench3R. Scale `{config.scale}`, base weights `{config.base}`, {config.precision}. "
        f"Data: {'; '.join(data)}; {', '.join(map(str, table['frames'].unique()))} frames a scene. Device: {devices}. "
        f"Protocols: {', '.join(config.protocols)}. {datetime.now(UTC):%Y-%m-%d}."
    )


NOTES = [
    "Means over the scenes that every compared method finished, with 95 % bootstrap intervals over scenes; "
    "n/N: finished of planned scenes.",
    "**best** and _second best_ method (controls are not ranked); ≈: the paired difference to VGGT is not clear of zero.",
    "CD is (accuracy + completeness) / 2 after similarity and ICP alignment, dMSE the depth error after median scale; "
    "both in units of the scene's true median depth, so that scenes of different units can be averaged.",
    "Time is the median [quartiles] of one forward pass with the machine to itself, FLOPs are 2 x multiply-adds; "
    "controls do not compute and have neither.",
]


def build_tables(plan: Plan, table: pd.DataFrame, profiles: pd.DataFrame) -> list[Table]:
    """All tables, one set per frame count: scenes of different length are never averaged together."""
    out = []
    for frames, rows in table.groupby("frames", sort=False):
        suffix = f"_f{frames}" if table["frames"].nunique() > 1 else ""
        out += tables_of(rows, profiles, int(str(frames)), suffix, caption(plan, rows))
    return sorted(out, key=lambda t: t.name.startswith("dataset_"))


def tables_of(rows: pd.DataFrame, profiles: pd.DataFrame, frames: int, suffix: str, about: str) -> list[Table]:
    """The tables of one frame count: the main comparison, details, and each dataset alone."""
    second = comparison(
        rows, profiles, QUALITY, frames, True, f"table2{suffix}", "Methods compared (SpatialMoR's Table II)", about
    )
    second.notes += NOTES
    detail = comparison(rows, profiles, DETAIL, frames, False, f"detail{suffix}", "Depth, normals and camera pose", about)
    detail.notes += NOTES[:2]
    out = [add_reported(second), detail]
    for name, own in rows.groupby("dataset", sort=False):
        columns, where = (*QUALITY, *DETAIL), f"dataset_{name}{suffix}"
        out.append(comparison(own, profiles, columns, frames, False, where, f"{name} alone", about))
    return out


def example(plan: Plan, dataset: str) -> tuple[SceneData, dict[str, np.ndarray]] | None:
    """The first scene of ``dataset`` that several methods finished, with their depth; None when there is none."""
    run, config = str(plan.config["name"]), plan.run_config()
    entry = next(d for d in plan.datasets if d.name == dataset)
    prepared = read_json(paths.prepared(entry.id))
    cells = [c for c in plan.cells if c.dataset == entry.id and c.frames == config.frames[0] and c.seed == config.seeds[0]]
    for item in prepared["lists"][str(config.frames[0])]:
        depths = {}
        for cell in cells:
            path = paths.predicted(run, cell.id)
            row = next((r for r in read_jsonl(path) if r["scene"] == item["id"] and r["status"] == "ok"), None)
            if row:
                depths[cell.label] = read_npz(path.with_suffix("") / row["prediction"])["depth"]
        if depths:
            _, width, patch = input_size(config.backbones[0], config.scale)
            root = Path(prepared["root"])
            scene = load_scene(load_one("datasets", dataset, Dataset)(root), item["scene"], item["frames"], width, patch)
            return (scene, depths) if scene.depth is not None else None
    return None


def build_figures(plan: Plan, table: pd.DataFrame, folder: Path) -> list[tuple[str, Path]]:
    """All figures with their captions."""
    out = []
    if table["value"].notna().any():
        out.append(("Quality of every scene.", figures.quality(table, QUALITY, folder)))
    curve = WEIGHTS / f"{plan.config['backbones'][0]}-{plan.config['scale']}.csv"
    if plan.config["base"] == "shipped" and curve.exists():
        title = f"Training of the shipped {curve.stem} base"
        out.append((f"{title}.", figures.training_curve(pd.read_csv(curve), folder, title)))
    for dataset in plan.config["datasets"]:
        try:
            found = example(plan, dataset)
        except Bench3RError as error:
            out.append((f"No panel for {dataset}: {error}", Path()))
            continue
        if found:
            out.append((f"One scene of {dataset}.", figures.panel(*found, folder, f"panel_{dataset}")))
    return out


def hole_text(table: pd.DataFrame) -> str:
    """The list of everything that is missing."""
    missing = holes(table)
    if not len(missing):
        return "## Holes\n\nNone: every planned scene has every metric.\n"
    return f"## Holes\n\nWhat has no value, and why.\n\n{missing.to_markdown(index=False)}\n"


def report(plan: Plan, collected: Path, out: Path) -> None:
    """Write ``out`` (index.md) with its tables and figures beside it."""
    table = pd.read_parquet(collected)
    lines = collected.with_name("profiles.jsonl").read_text()
    profiles = pd.read_json(collected.with_name("profiles.jsonl"), lines=True) if lines.strip() else pd.DataFrame()
    tables = build_tables(plan, table, profiles)
    for one in tables:
        one.write(out.parent / "tables")
    pictures = build_figures(plan, table, out.parent / "figures")
    shown = [
        f"### {text}\n\n![{text}]({path.relative_to(out.parent)})\n" if path.name else f"{text}\n" for text, path in pictures
    ]
    head = (
        f"# Bench3R report: {plan.config['name']}\n\n"
        "Tables as CSV and LaTeX lie in `tables/`, figures as PDF in `figures/`.\n"
    )
    body = (
        [t.markdown() for t in tables if not t.name.startswith("dataset_")]
        + [hole_text(table)]
        + ["## Figures\n", *shown]
        + [t.markdown() for t in tables if t.name.startswith("dataset_")]
    )
    write_text(out, "\n".join([head, *body]))
