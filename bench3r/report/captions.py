"""What a table stands on: its own datasets, scenes, rules, device and number of scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bench3r.models.catalogue import label_of_network
from bench3r.protocols import PROTOCOLS
from bench3r.report.columns import Column
from bench3r.report.evidence import CostRow, Evidence
from bench3r.report.names import dataset_label, listed
from bench3r.report.summary import common_scenes, wide

PLACE = ["dataset", "frames", "scene"]  # what one scene is, whatever the seed


def caption_of(e: Evidence, rows: pd.DataFrame, columns: Iterable[Column] = ()) -> str:
    """What a table stands on whose settings are those of ``rows`` and that shows ``columns``."""
    chosen = list(columns)
    parts = [data_text(rows), compared_text(rows, chosen)]
    if chosen:
        parts.append(f"Scored by {rules_text(chosen)}.")
    parts.append(setup_text(e, rows["device"]))
    return " ".join(part for part in parts if part)


def run_caption(e: Evidence) -> str:
    """What all of a run at one frame count stands on."""
    return f"{data_text(e.table)} {setup_text(e, e.table['device'])}"


def figure_data(e: Evidence, rows: pd.DataFrame) -> str:
    """What a figure of the settings of ``rows`` stands on."""
    return f"{data_text(rows)} {compared_text(rows)} {setup_text(e, rows['device'])}"


def cost_caption(e: Evidence, costs: Sequence[CostRow]) -> str:
    """What a table stands on that shows the measured ``costs``."""
    devices = pd.Series([cost.device for cost in costs], dtype=object)
    return f"{timed_text(costs)} {setup_text(e, devices)}".strip()


def data_text(rows: pd.DataFrame) -> str:
    """The datasets of ``rows``, how many scenes of each, and whether they are real."""
    if rows.empty:
        return "No scene was planned."
    kinds: dict[tuple[bool, int], list[str]] = {}
    for name, own in rows.groupby("dataset", sort=False):
        procedural = bool(own["procedural"].eq(True).any())
        kinds.setdefault((procedural, own["scene"].nunique()), []).append(dataset_label(str(name)))
    parts = [_of_kind(names, *kind) for kind, names in kinds.items()]
    return f"{'; '.join(parts)}; {frames_text(rows)}."


def _of_kind(names: list[str], procedural: bool, count: int) -> str:
    each = " each" if len(names) > 1 else ""
    plural = "" if count == 1 else "s"
    if procedural:
        layout = "layouts" if len(names) > 1 else "layout"
        return (
            f"PROCEDURAL scenes in the {layout} of {listed(names)}, not the real data "
            f"({count} scene{plural}{each})"
        )
    return f"{listed(names)} ({count} scene{plural}{each}, real data)"


def frames_text(rows: pd.DataFrame) -> str:
    """Frames of a scene, and seeds where there are several."""
    counts = [f"{n:,}" if n else "listed" for n in sorted(rows["frames"].unique())]
    text = f"{listed(counts)} frames a scene"
    seeds = rows["seed"].nunique()
    return text if seeds == 1 else f"{text}, {seeds} seeds"


def compared_text(rows: pd.DataFrame, columns: Sequence[Column] = ()) -> str:
    """n: scenes that every row finished, and where a column has values on fewer."""
    if rows.empty:
        return ""
    common = common_scenes(rows)
    whole = _scenes(common)
    fewer = []
    for column in columns:
        values = wide(rows, column)
        own = values[values.index.isin(common)].dropna(how="all").index
        if _scenes(own) != whole:
            fewer.append(f"{column.title}: {_scenes(own)}")
    text = f"n = {whole} scenes that every row finished"
    return f"{text} ({'; '.join(fewer)})." if fewer else f"{text}."


def _scenes(index: pd.Index) -> int:
    """How many scenes ``index`` holds; seeds repeat a scene."""
    return len(index.to_frame(index=False)[PLACE].drop_duplicates()) if len(index) else 0


def rules_text(columns: Iterable[Column]) -> str:
    """The scoring rules of ``columns``."""
    names = dict.fromkeys(column.protocol for column in columns)
    return listed([PROTOCOLS.get(name).title for name in names])


def timed_text(costs: Sequence[CostRow]) -> str:
    """On what input costs were measured, and how many calls were timed."""
    if not costs:
        return "No cost was measured."
    sizes = sorted({f"{c.image_size[0]} x {c.image_size[1]}" for c in costs if c.image_size})
    frames = sorted({cost.frames for cost in costs})
    calls = sorted({len(cost.seconds) for cost in costs})
    images = f" images of {' or '.join(sizes)} pixels" if sizes else " images"
    text = f"{listed([f'{n:,}' for n in frames])}{images}"
    span = f"{calls[0]}" if len(calls) == 1 else f"{calls[0]} to {calls[-1]}"
    return f"{text}; n = {span} timed calls."


def setup_text(e: Evidence, devices: pd.Series) -> str:
    """Scale, weights, precision and ``devices``, and the day of the last record."""
    config = e.plan.config
    known = sorted(set(devices.dropna().astype(str)) - {""})
    where = listed(known) if known else "an unknown device"
    day = last_day(e)
    weights = weights_text(config.base)
    text = f"{config.scale.capitalize()} models, {weights}, {config.precision}, on {where}"
    return f"{text}, {day}." if day else f"{text}."


def weights_text(base: str | dict[str, str]) -> str:
    """Where the weights of backbones come from."""
    if not isinstance(base, str):
        parts = [f"{label_of_network(name)}: {weights_text(one)}" for name, one in base.items()]
        return "; ".join(parts)
    known = {"shipped": "shipped weights", "train": "weights trained in this run"}
    return known.get(base, f"weights {base.removeprefix('hub:')}")


def last_day(e: Evidence) -> str:
    """The day of the last record, YYYY-MM-DD; "" where none has a time."""
    days = e.table["time"].dropna().astype(str).str[:10]
    days = days[days.str.len() == len("2026-01-01")]
    return str(days.max()) if len(days) else ""
