"""Cost at the edge and at published size: the most frames that fit, and records of benchmarks/reference.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench3r.files import read_jsonl
from bench3r.models.catalogue import label_of_network
from bench3r.report.tables import Table, label_of


def _name(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Method, its settings where there are several, and its backbone."""
    options = [r["options"] for r in rows if r["method"] == row["method"]]
    name = label_of(row["method"], row["label"], row["options"], options)
    backbone = label_of_network(row["backbone"])
    return name if backbone == name else f"{name}, {backbone}"


def largest_counts(rows: list[dict[str, Any]], about: str) -> Table | None:
    """The most frames that fitted in one pass, and what stopped the next probe; None without such searches."""
    if not rows:
        return None
    rows = [{**r, "options": json.loads(r["options"])} for r in rows]
    shown, raw = [], []
    for row in rows:
        probes = sorted(row.get("probes") or [], key=lambda p: p["frames"])
        best = next((p for p in reversed(probes) if p["status"] == "ok"), None)
        worse = next(
            (p for p in probes if p["status"] != "ok" and p["frames"] > (row.get("largest") or 0)),
            None,
        )
        stop = (
            f"{worse['frames']:,}: {worse['status']}, {worse['reason']}"
            if worse
            else "the search ended there"
        )
        name, seconds = _name(row, rows), (best or {}).get("seconds")
        if not probes:
            stop = f"{row['status']}: {row.get('reason', '')}"
        raw.append(
            {
                "method": row["method"],
                "backbone": row["backbone"],
                "options": json.dumps(row["options"]),
                "largest": row.get("largest"),
                "seconds": seconds,
                "bytes": (best or {}).get("bytes"),
                "stopped_at": worse and worse["frames"],
                "reason": stop,
            }
        )
        shown.append(
            {
                "method": name,
                "frames that fit": f"{row['largest']:,}" if row.get("largest") is not None else "–",
                "one call (s)": f"{seconds:.3g}" if seconds else "–",
                "peak memory (GB)": f"{best['bytes'] / 1e9:.2f}" if best and best["bytes"] else "–",
                "what stopped it": stop,
            }
        )
    notes = [
        "Every frame count is tried in a process of its own, doubling until one fails, then bisecting to 5 %. Fails: more "
        "memory or time than the run's limits. One cold call each: for times see the cost over frames.",
    ]
    return Table(
        "largest", "The most frames that fit", about, pd.DataFrame(shown), pd.DataFrame(raw), notes
    )


def measured_tables(folder: Path) -> list[Table]:
    """One table for each device and scale whose records lie in ``folder``/DEVICE/records.jsonl."""
    out = []
    for path in sorted(folder.glob("*/records.jsonl")):
        rows = [r for r in read_jsonl(path) if "case" in r]
        for scale in dict.fromkeys(r["case"]["scale"] for r in rows):
            out.append(
                _measured(path.parent.name, scale, [r for r in rows if r["case"]["scale"] == scale])
            )
    return out


def _measured(device: str, scale: str, rows: list[dict[str, Any]]) -> Table:
    """Seconds and memory over frame counts."""
    cases = [r["case"] for r in rows]
    shown: dict[str, dict[str, str]] = {}
    raw = []
    for row, case in zip(rows, cases, strict=True):
        name = _name(case, cases)
        times = row.get("seconds") or []
        peak = row.get("peak_gpu_bytes") or row.get("peak_rss_bytes")
        text = f"{np.median(times):.3g} s, {peak / 1e9:.2f} GB" if times and peak else row["status"]
        shown.setdefault(name, {"method": name})[f"{case['frames']:,}"] = text + (
            " (!)" if row.get("suspect") else ""
        )
        raw.append(
            {
                **{k: case[k] for k in ("method", "backbone", "scale", "frames", "precision")},
                "options": json.dumps(case["options"]),
                "image_size": "x".join(map(str, case["size"])),
                "status": row["status"],
                "reason": row.get("reason", ""),
                "seconds": float(np.median(times)) if times else np.nan,
                "trunk_seconds": float(np.median(row["trunk_seconds"]))
                if row.get("trunk_seconds")
                else np.nan,
                "peak_bytes": peak,
                "energy_j": row.get("energy_j"),
                "flops": row.get("flops"),
                "assumed": row.get("assumed", ""),
                "suspect": "; ".join(row.get("suspect") or []),
                "time": (row.get("provenance") or {}).get("time"),
                "git": (row.get("provenance") or {}).get("git"),
            }
        )
    counts = sorted({c["frames"] for c in cases})
    table = (
        pd.DataFrame(shown.values())
        .reindex(columns=["method", *(f"{n:,}" for n in counts)])
        .fillna("–")
    )
    sizes = sorted({"x".join(map(str, c["size"])) for c in cases})
    days = sorted(
        {str((r.get("provenance") or {}).get("time"))[:10] for r in rows if r.get("provenance")}
    )
    assumed = sorted({r["assumed"] for r in rows if r.get("assumed")})
    about = (
        f"Measured by Bench3R with random weights and images on {device}, scale `{scale}`, "
        f"{', '.join(sorted({c['precision'] for c in cases}))}, images of {', '.join(sizes)} pixels, "
        f"{', '.join(days) or 'no date'}."
    )
    notes = [
        "Median seconds of one pass and peak memory (of tensors on a GPU, of the process elsewhere) by frames of the scene; "
        "of pairwise models the network alone. (!): the record is marked as doubtful, the reason is in the CSV.",
        *(f"Assumed: {a}." for a in assumed),
    ]
    name = f"reference_{device}_{scale}".lower()
    return Table(
        name,
        f"Time and memory with random weights: {device}, {scale}",
        about,
        table,
        pd.DataFrame(raw),
        notes,
    )
