"""One self-contained page of a run: tables that sort and filter, points in 3D, quality against cost, provenance on click.

Drawn by plotly, which is written into the file; opens from disk without a network.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from PIL import Image
from plotly.offline import get_plotlyjs
from scipy.spatial import cKDTree

from bench3r.api.scene import SceneData
from bench3r.files import write_text
from bench3r.metrics.pose import move_trajectory
from bench3r.protocols.base import NotComputable, Scored
from bench3r.report.adaptive import Evidence
from bench3r.report.summary import settings
from bench3r.report.tables import QUALITY, Table, name_of, of_setting, peak_bytes

FOLDER = Path(__file__).parent
POINTS = 2000  # of a cloud in the viewer
COSTS = ("FLOPs (G)", "time (s)", "peak memory (MB)", "energy (J)")


@dataclass
class Clouds:
    """One scene for the viewer: truth, and what methods predicted, by label."""

    scene: SceneData
    predictions: dict[str, dict[str, np.ndarray]]
    patch: int = 8
    found: dict[str, Any] = field(default_factory=dict)

    def pack(self) -> dict[str, Any] | None:
        """Points and cameras of the truth and of every method that could be aligned; None without true depth."""
        if self.scene.depth is None or not np.isfinite(self.scene.c2w).all():
            return None
        base = Scored(
            self.scene,
            self.scene.depth,
            np.linalg.inv(self.scene.c2w)[:, :3],
            self.scene.intrinsics,
        )
        truth = base.true_points
        pick = np.random.default_rng(0).permutation(len(truth))[:POINTS]
        colours, tree = self.scene.images[base.valid][pick], cKDTree(truth)
        size = float(np.linalg.norm(np.ptp(truth, axis=0)))
        methods = {}
        for label, arrays in self.predictions.items():
            try:
                methods[label] = self._method(arrays, pick, tree, size)
            except NotComputable:
                continue
        return {
            "truth": {"xyz": quantised(truth[pick])},
            "cameras": packed(pyramids(self.scene.c2w, size)),
            "rgb": packed(colours, np.uint8),
            "unit": self.scene.unit,
            "methods": methods,
        }

    def _method(
        self, arrays: dict[str, np.ndarray], pick: np.ndarray, tree: cKDTree, size: float
    ) -> dict[str, Any]:
        scored = Scored(self.scene, arrays["depth"], arrays["extrinsics"], arrays["intrinsics"])
        points = scored.similarity.apply(scored.predicted_points[pick])
        c2w = np.linalg.inv(scored.predicted_w2c)
        aligned = move_trajectory(c2w, scored.similarity)
        out: dict[str, Any] = {
            "xyz": quantised(points),
            "error": quantised(tree.query(points)[0][:, None]),
            "cameras": packed(pyramids(aligned, size)),
        }
        if "recursion_depth" in arrays:
            steps = arrays["recursion_depth"].repeat(self.patch, 1).repeat(self.patch, 2)
            rows, columns = scored.valid.shape[1:]
            out["depth"] = packed(steps[:, :rows, :columns][scored.valid][pick], np.uint8)
        return out


def packed(values: np.ndarray, kind: Any = np.float32) -> str:
    """Numbers as base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def quantised(values: np.ndarray) -> dict[str, Any]:
    """Numbers [N, C] as 16 bit steps between the smallest and the largest of each column."""
    low, high = values.min(0), values.max(0)
    step = np.maximum(high - low, 1e-12) / 65535
    return {
        "low": low.tolist(),
        "step": step.tolist(),
        "data": packed(np.round((values - low) / step), np.uint16),
    }


def pyramids(c2w: np.ndarray, size: float) -> np.ndarray:
    """Line points [N, 3] of a small pyramid per camera, nan between the lines; ``size``: of the scene."""
    s = 0.03 * size
    corners = np.array([[-s, -s, 1.5 * s], [s, -s, 1.5 * s], [s, s, 1.5 * s], [-s, s, 1.5 * s]])
    apex, gap = np.zeros((1, 3)), np.full((1, 3), np.nan)
    path = np.concatenate(
        [
            corners[[0, 1, 2, 3, 0]],
            gap,
            *(np.concatenate([apex, corners[i : i + 1], gap]) for i in range(4)),
        ]
    )
    return np.concatenate([path @ pose[:3, :3].T + pose[:3, 3] for pose in c2w])


def picture(path: Path) -> str:
    """A figure as base64 WebP, a third of its PNG."""
    out = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(out, "WEBP", quality=75, method=4)
    return base64.b64encode(out.getvalue()).decode()


def cell_html(text: object) -> str:
    """Markdown's bold, emphasis and code of a cell as HTML."""
    out = html.escape(str(text))
    out = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", out)
    out = re.sub(r"`(.+?)`", r"<code>\1</code>", out)
    return re.sub(r"(?<!\w)_(\S[^_]*?)_(?!\w)", r"<em>\1</em>", out)


def origins(table: Table, records: pd.DataFrame, run: str) -> list[dict[str, Any]]:
    """For every shown row of ``table`` its raw values, and the files of the records behind it."""
    out: list[dict[str, Any]] = []
    for place in range(len(table.shown)):
        if place >= len(table.raw) or len(table.raw) > len(table.shown):
            out.append({})
            continue
        row = table.raw.iloc[place]
        facts = {str(k): v for k, v in row.items() if _known(v)}
        if {"method", "options", "backbone"} <= set(table.raw.columns):
            own = of_setting(records, row)
            for name in ("device", "git", "weights", "time"):
                values = sorted(map(str, own[name].dropna().unique())) if name in own else []
                facts |= {name: values} if values else {}
            facts["records"] = [
                f"results/{run}/{stage}/{c}.jsonl"
                for c in own["cell"].unique()
                for stage in ("predict", "score")
            ]
        out.append({k: _plain(v) for k, v in facts.items()})
    return out


def behind(table: Table, e: Evidence, records: pd.DataFrame) -> pd.DataFrame:
    """The records that ``table`` was made from, as its name says: the main ones, a dataset's, an ablation's, or all."""
    name = table.name.removesuffix(e.suffix) if e.suffix else table.name
    if name in ("table2", "table2_differences", "detail"):
        return e.rows_of("main")
    if name.startswith("dataset_"):
        rows = e.rows_of("main")
        return rows[rows["dataset"].eq(name.removeprefix("dataset_"))]
    asked = name.removeprefix("ablation_")
    return e.rows_of(asked) if asked in e.plan.config["ablations"] else records


def _known(value: Any) -> bool:
    return isinstance(value, (list, dict)) or not pd.isna(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (str, int, float, bool, list)) else str(value)


def finite(value: Any) -> Any:
    """``value`` with None in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def pareto_points(e: Evidence) -> list[dict[str, Any]]:
    """Mean quality and cost of every setting and dataset."""
    rows, out = e.everywhere(), []
    for _, setting in settings(rows).iterrows():
        if setting["kind"] == "control":
            continue
        own, label = of_setting(rows, setting), name_of(setting, rows)
        cost = of_setting(e.profiles, setting)
        cost = cost[cost["frames"].eq(e.frames) & cost["status"].eq("ok")] if len(cost) else cost
        for dataset, part in own.groupby("dataset", sort=False):
            facts = of_setting(e.facts, setting)
            facts = facts[facts["dataset"].eq(dataset)] if len(facts) else facts
            point: dict[str, Any] = {"method": label, "dataset": dataset}
            for column in QUALITY:
                values = part[
                    part["protocol"].eq(column.protocol) & part["metric"].eq(column.metric)
                ]["value"].dropna()
                point[column.title] = float(values.mean()) if len(values) else None
            if len(cost):
                first = cost.iloc[0]
                point["time (s)"] = float(np.median(first["seconds"]))
                memory, energy = peak_bytes(first), first.get("energy_j")
                point["peak memory (MB)"] = memory / 1e6 if np.isfinite(memory) else None
                point["energy (J)"] = (
                    float(energy) if energy is not None and np.isfinite(energy) else None
                )
            counted = pd.to_numeric(facts["flops"]).mean() if len(facts) else np.nan
            point["FLOPs (G)"] = float(counted) / 1e9 if np.isfinite(counted) else None
            out.append(point)
    return out


def scene_table(e: Evidence) -> Table:
    """Every scene of the main methods with its quality: the drill-down behind the means."""
    rows = e.rows_of("main")
    keys = ["label", "options", "dataset", "scene"]
    wide = None
    for column in QUALITY:
        own = rows[
            rows["protocol"].eq(column.protocol) & rows["metric"].eq(column.metric)
        ].set_index(keys)["value"]
        named = own[~own.index.duplicated()].rename(column.title)
        wide = named.to_frame() if wide is None else wide.join(named, how="outer")
    assert wide is not None
    several = rows.groupby("label")["options"].nunique()
    raw = wide.reset_index()
    shown = raw.assign(
        label=[
            f"{r.label} {r.options}" if several.get(r.label, 1) > 1 else r.label
            for r in raw.itertuples()
        ]
    )
    shown = shown.drop(columns="options").rename(columns={"label": "method"})
    for column in QUALITY:
        shown[column.title] = [
            f"{v:.{column.digits}f}" if np.isfinite(v) else "–" for v in shown[column.title]
        ]
    return Table(f"scenes{e.suffix}", "Scene by scene", e.about, shown, raw, [])


def write_page(
    out: Path,
    run: str,
    tables: list[Table],
    figures: list[tuple[str, Path]],
    evidence: list[Evidence],
    clouds: dict[str, Clouds],
) -> None:
    """Write the page to ``out``."""
    e = evidence[0]
    tables = [*tables, scene_table(e)]
    records = pd.concat([x.table for x in evidence])
    packs = {name: pack for name, c in clouds.items() if (pack := c.pack())}
    shown = [
        {
            "id": f"table-{t.name}",
            "title": t.title,
            "about": cell_html(t.caption),
            "columns": list(t.shown.columns),
            "rows": [[cell_html(v) for v in r] for r in t.shown.itertuples(index=False)],
            "notes": [cell_html(n) for n in t.notes],
        }
        for t in tables
    ]
    points = pareto_points(e)
    data = {
        "tables": [origins(t, behind(t, e, records), run) for t in tables],
        "pareto": points,
        "costs": [c for c in COSTS if any(p.get(c) is not None for p in points)],
        "qualities": [c.title for c in QUALITY],
        "scenes": packs,
    }
    text = json.dumps(finite(data), allow_nan=False, default=str).replace("<", "\\u003c")
    pictures = [(t, picture(p)) for t, p in figures if p.name]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((FOLDER / "page.html.j2").read_text())
    sections = [
        ("pareto", "Quality against cost"),
        ("viewer", "Points"),
        *((s["id"], s["title"]) for s in shown),
        ("figures", "Figures"),
    ]
    write_text(
        out,
        template.render(
            run=run,
            about=cell_html(e.about),
            sections=sections,
            tables=shown,
            figures=pictures,
            data=text,
            plotly=get_plotlyjs(),
            style=(FOLDER / "page.css").read_text(),
            script=(FOLDER / "page.js").read_text(),
        ),
    )
