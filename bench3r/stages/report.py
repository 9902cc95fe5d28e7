"""Report: tables and figures of a run in reports/<run>/, from the collected table alone, plus saved predictions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from bench3r.api.errors import Bench3RError
from bench3r.api.scene import SceneData
from bench3r.data.load import load_scene
from bench3r.data.prepared import open_prepared
from bench3r.files import read_json, read_jsonl, read_npz, write_text
from bench3r.models.catalogue import NO_BACKBONE, input_size
from bench3r.report import (
    adaptive,
    attention,
    claims,
    cost_figures,
    depth_figures,
    figures,
    pairwise,
    reference,
    roofline,
    scaling,
    sensitivity,
)
from bench3r.report.page import Clouds, write_page
from bench3r.report.published import published_table
from bench3r.report.summary import cost_holes, holes
from bench3r.report.tables import (
    DETAIL,
    FIDELITY,
    QUALITY,
    Table,
    add_reported,
    comparison,
    differences,
    label_of,
)
from bench3r.run import paths
from bench3r.run.plan import Cell, Plan

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def caption(plan: Plan, table: pd.DataFrame) -> str:
    """What the numbers stand on: scale, weights, data, device, protocols, date."""
    config = plan.run_config()
    data = []
    for name, rows in table.groupby("dataset", sort=False):
        kind = (
            "PROCEDURAL scenes in its layout, not the real data"
            if rows["procedural"].eq(True).any()
            else "real data"
        )
        data.append(f"{name} ({kind}, {rows['scene'].nunique()} scenes)")
    counts = ", ".join(str(n) if n else "listed" for n in table["frames"].unique())
    devices = ", ".join(sorted(table["device"].dropna().unique())) or "unknown device"
    return (
        f"Measured by Bench3R. Scale `{config.scale}`, base weights `{config.base}`, {config.precision}. "
        f"Data: {'; '.join(data)}; {counts} frames a scene. Device: {devices}. "
        f"Protocols: {', '.join(config.protocols)}. {datetime.now(UTC):%Y-%m-%d}."
    )


NOTES = [
    "Means over the scenes that every compared method finished, with 95 % bootstrap intervals over scenes; "
    "n/N: finished of planned scenes.",
    "**best** and _second best_ method (controls are not ranked); †: tied with the best, their paired difference is not "
    "clear of zero; ≈: the same of its unchanged backbone.",
    "Seeds of a scene are averaged first; scenes weigh the same, unless a protocol says otherwise.",
    "CD is (accuracy + completeness) / 2 after similarity and ICP alignment, dMSE the depth error after median scale; "
    "both in units of the scene's true median depth, so that scenes of different units can be averaged.",
    "Time is the median [quartiles] of one forward pass with the machine to itself, FLOPs are 2 x multiply-adds; "
    "controls do not compute and have neither.",
]


def build_tables(evidence: list[adaptive.Evidence]) -> list[Table]:
    """All tables, one set per frame count: scenes of different length are never averaged together."""
    out = [t for e in evidence for t in tables_of(e)]
    out += [t for t in (attention.frames_table(evidence),) if t is not None]
    return sorted(out, key=lambda t: t.name.startswith("dataset_"))


def tables_of(e: adaptive.Evidence) -> list[Table]:
    """The tables of one frame count: the main comparison, adaptive depth, details, and each dataset alone."""
    rows = e.rows_of("main")
    title = "Methods compared (SpatialMoR's Table II)"
    second = comparison(
        rows, e.profiles, QUALITY, e.frames, True, f"table2{e.suffix}", title, e.about, e.facts
    )
    second.notes += [*NOTES, *pairwise.ratio_notes(second)]
    against = differences(
        rows,
        QUALITY,
        f"table2_differences{e.suffix}",
        "Differences to the unchanged backbone",
        e.about,
    )
    detail = comparison(
        rows,
        e.profiles,
        DETAIL,
        e.frames,
        False,
        f"detail{e.suffix}",
        "Depth, normals and camera pose",
        e.about,
    )
    detail.notes += NOTES[:2]
    pairs = pairwise.pairwise(e)
    beside = roofline.roofline(e)
    out = [
        add_reported(second),
        against,
        *([pairs] if pairs else []),
        *adaptive.tables(e),
        *attention.tables(e),
        detail,
    ]
    out += [beside] if beside else []
    out += sensitivity.tables(e)
    plugins = rows[rows["kind"].eq("plugin")]
    if "fidelity" in e.plan.config["protocols"] and len(plugins):
        title = "Fidelity: distance from the unchanged backbone's output"
        near = comparison(
            plugins,
            e.profiles,
            FIDELITY,
            e.frames,
            True,
            f"fidelity{e.suffix}",
            title,
            e.about,
            e.facts,
        )
        near.notes.append(
            "No truth is used: near is not right, and a method that improves on its backbone is far from it."
        )
        out.append(near)
    for name, own in rows.groupby("dataset", sort=False):
        columns, where = (*QUALITY, *DETAIL), f"dataset_{name}{e.suffix}"
        out.append(
            comparison(own, e.profiles, columns, e.frames, False, where, f"{name} alone", e.about)
        )
    return out


@dataclass
class Example:
    """One scene that methods finished, with what they predicted."""

    scene: SceneData
    depths: dict[str, np.ndarray]  # of the main methods, by label
    recursion: dict[str, np.ndarray]  # of the recursive ones
    patch: int
    saved: dict[str, dict[str, np.ndarray]]  # all that was kept of each prediction, by label


def example(plan: Plan, dataset: str) -> Example | None:
    """The first scene of ``dataset`` that methods finished and that has true depth; None when there is none."""
    run, config = str(plan.config["name"]), plan.run_config()
    entry = next(d for d in plan.datasets if d.name == dataset)
    prepared = read_json(paths.prepared(entry.id))
    frames, seed = config.frames[0], config.seeds[0]
    cells = [
        c
        for c in plan.cells
        if c.dataset == entry.id and c.frames == frames and c.seed == seed and "main" in c.tables
    ]
    for item in prepared["lists"][str(frames)]:
        found: dict[str, dict[str, np.ndarray]] = {}
        for cell in cells:
            path = paths.predicted(run, cell.id)
            row = next(
                (r for r in read_jsonl(path) if r["scene"] == item["id"] and r["status"] == "ok"),
                None,
            )
            if row:
                found[cell_label(cell, cells)] = read_npz(path.with_suffix("") / row["prediction"])
        if found:
            _, width, patch = input_size(config.backbones[0], config.scale)
            scene = load_scene(open_prepared(prepared), item["scene"], item["frames"], width, patch)
            depths = {k: v["depth"] for k, v in found.items()}
            recursion = {
                k: v["recursion_depth"] for k, v in found.items() if "recursion_depth" in v
            }
            return (
                Example(scene, depths, recursion, patch, found) if scene.depth is not None else None
            )
    return None


def cell_label(cell: Cell, cells: list[Cell]) -> str:
    """Label of a cell, with its options where several cells share it."""
    return label_of(
        cell.method, cell.label, cell.options, [c.options for c in cells if c.method == cell.method]
    )


def training_curves(plan: Plan) -> dict[str, pd.DataFrame]:
    """Curves of the fine-tuned main methods, by label and options."""
    run, found = str(plan.config["name"]), {}
    cells = [c for c in plan.cells if c.trained and "main" in c.tables]
    for cell in cells:
        path = paths.trained(run, str(cell.trained)).with_suffix(".csv")
        if path.exists():
            found[cell_label(cell, list({c.trained: c for c in cells}.values()))] = pd.read_csv(
                path
            )
    return found


def examples(plan: Plan) -> dict[str, Example | str | None]:
    """By dataset its :func:`example`, or why its scene cannot be read."""
    found: dict[str, Example | str | None] = {}
    for dataset in plan.config["datasets"]:
        try:
            found[dataset] = example(plan, dataset)
        except Bench3RError as error:
            found[dataset] = str(error)
    return found


def build_figures(
    plan: Plan,
    evidence: list[adaptive.Evidence],
    shown: dict[str, Example | str | None],
    folder: Path,
) -> list[tuple[str, Path]]:
    """All figures with their captions."""
    out: list[tuple[str, Path | None]] = []
    e = evidence[0]
    main = e.rows_of("main")
    if main["value"].notna().any():
        out.append(("Quality of every scene.", figures.quality(main, QUALITY, folder)))
        out += [
            (f"Quality against {label}.", cost_figures.pareto(e, name, QUALITY, folder))
            for name, label in cost_figures.COSTS.items()
        ]
        out += cost_figures.option_curves(e, folder)
    out.append(("What the protocol alone changes.", sensitivity.figure(e, folder)))
    out.append(
        ("Spark3R: quality over query and key/value factors.", attention.factor_maps(e, folder))
    )
    out.append(("Spark3R: sensitivity of the global layers.", attention.sensitivity(e, folder)))
    out.append(
        (
            "Where depth was spent.",
            depth_figures.depth_distribution(e.facts, e.everywhere(), folder),
        )
    )
    out.append(("Recursion depth and complexity.", depth_figures.correlation(main, folder)))
    out += curve_figures(plan, folder)
    for dataset, found in shown.items():
        if isinstance(found, str):
            out.append((f"No panel for {dataset}: {found}", Path()))
            continue
        if found:
            name = f"panel_{dataset}"
            out.append(
                (f"One scene of {dataset}.", figures.panel(found.scene, found.depths, folder, name))
            )
        if found and found.recursion:
            drawn = depth_figures.depth_maps(
                found.scene, found.recursion, found.patch, folder, f"depth_maps_{dataset}"
            )
            out.append((f"Recursion depth in a scene of {dataset}.", drawn))
    return [(text, path) for text, path in out if path is not None]


def curve_figures(plan: Plan, folder: Path) -> list[tuple[str, Path | None]]:
    """Training of the shipped base and of the fine-tuned variants."""
    out: list[tuple[str, Path | None]] = []
    used = sorted({c.backbone for c in plan.cells} - {NO_BACKBONE})
    for backbone in used:
        curve = WEIGHTS / f"{backbone}-{plan.config['scale']}.csv"
        if plan.run_config().base_of(backbone) != "shipped" or not curve.exists():
            continue
        title = f"Training of the shipped {curve.stem} base"
        out.append(
            (
                f"{title}.",
                figures.training_curve(pd.read_csv(curve), folder, title, f"training_{backbone}"),
            )
        )
    curves = {k: v for k, v in training_curves(plan).items() if len(v)}
    out.append(("Fine-tuning of the variants.", depth_figures.finetuning(curves, folder)))
    routed = [(k, v) for k, v in curves.items() if "share_1" in v]
    if routed:
        name, rows = routed[-1]
        out.append(
            (
                f"Fine-tuning of {name}: losses and depth.",
                depth_figures.finetuning_shares(rows, name, folder),
            )
        )
    return out


def hole_text(table: pd.DataFrame, profiles: pd.DataFrame) -> str:
    """The list of everything that is missing."""
    missing = pd.concat([h.astype(object) for h in (holes(table), cost_holes(profiles))])
    if not len(missing):
        return "## Holes\n\nNone: every planned scene has every metric, every planned cost is measured.\n"
    return f"## Holes\n\nWhat has no value, and why.\n\n{missing.to_markdown(index=False)}\n"


def gather(plan: Plan, table: pd.DataFrame, collected: Path) -> list[adaptive.Evidence]:
    """What the tables are made from, per frame count."""
    more = {
        n: pd.DataFrame(read_jsonl(collected.with_name(f"{n}.jsonl")))
        for n in ("profiles", "facts", "trainings")
    }
    out = []
    for frames, rows in table.groupby("frames", sort=False):
        suffix = f"_f{frames}" if table["frames"].nunique() > 1 else ""
        facts = more["facts"]
        own = facts[facts["frames"] == frames] if len(facts) else facts
        about = caption(plan, rows)
        out.append(
            adaptive.Evidence(
                plan,
                rows,
                more["profiles"],
                own,
                more["trainings"],
                int(str(frames)),
                suffix,
                about,
            )
        )
    return out


def run_list(folder: Path) -> str:
    """A page that links the page of every run below ``folder``."""
    runs = sorted(p.parent.name for p in folder.glob("*/index.html"))
    links = "".join(f'<li><a href="{r}/index.html">{r}</a></li>' for r in runs)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Bench3R reports</title>'
        f'<body style="font:16px system-ui;margin:2rem"><h1>Bench3R reports</h1><ul>{links}</ul></body></html>\n'
    )


def report(plan: Plan, collected: Path, out: Path) -> None:
    """Write ``out`` (index.md) with its tables and figures beside it. Raises Bench3RError without a collected table."""
    if not collected.is_file():
        raise Bench3RError(
            f"{collected} is missing: the run has no records yet; start it, or `bench3r collect` what there is"
        )
    table = pd.read_parquet(collected)
    evidence = gather(plan, table, collected)
    tables = build_tables(evidence)
    grown = scaling.scaling(evidence[0], out.parent / "figures") if evidence else None
    if grown:
        tables.append(grown[1])
    fitting = reference.largest_counts(
        read_jsonl(collected.with_name("largest.jsonl")), evidence[0].about if evidence else ""
    )
    tables += [t for t in (fitting, *reference.measured_tables(paths.RESULTS / "reference")) if t]
    tables.append(published_table())
    tables += [*(claims.claims_table(e) for e in evidence[:1]), claims.contradictions_table()]
    tables += [t for t in (roofline.estimates(),) if t]
    for one in tables:
        one.write(out.parent / "tables")
    scenes = examples(plan)
    pictures = build_figures(plan, evidence, scenes, out.parent / "figures")
    if grown:
        pictures.append(("Cost over frames.", grown[0]))
    shown = [
        f"### {text}\n\n![{text}]({path.relative_to(out.parent)})\n" if path.name else f"{text}\n"
        for text, path in pictures
    ]
    head = (
        f"# Bench3R report: {plan.config['name']}\n\n"
        "`index.html` beside this file is the same as one page that sorts, filters and shows points in 3D. Tables as CSV "
        "and LaTeX lie in `tables/`, figures as PDF in `figures/`.\n"
    )
    body = (
        [t.markdown() for t in tables if not t.name.startswith("dataset_")]
        + [hole_text(table, evidence[0].profiles if evidence else pd.DataFrame())]
        + ["## Figures\n", *shown]
        + [t.markdown() for t in tables if t.name.startswith("dataset_")]
    )
    write_text(out, "\n".join([head, *body]))
    clouds = {
        f"{n}: {x.scene.name}": Clouds(x.scene, x.saved, x.patch)
        for n, x in scenes.items()
        if isinstance(x, Example)
    }
    write_page(
        out.with_name("index.html"), str(plan.config["name"]), tables, pictures, evidence, clouds
    )
    write_text(out.parent.parent / "index.html", run_list(out.parent.parent))
