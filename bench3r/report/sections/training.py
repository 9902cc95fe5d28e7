"""How long everything that is learned was trained."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from bench3r.api.method import METHODS
from bench3r.models.catalogue import label_of_network
from bench3r.report.captions import setup_text
from bench3r.report.evidence import Evidence
from bench3r.report.names import option_text
from bench3r.report.section import Section
from bench3r.report.tables import MISSING, Table, number

NOTE = (
    "steps: optimiser steps (– for closed-form fits); scenes: training scenes seen; seconds: wall "
    "time beside other jobs."
)


def training_table(e: Evidence) -> Iterator[Table]:
    """One row for each training of the run."""
    rows = e.trainings
    if rows.empty:
        return
    pairs = zip(rows["method"], rows["options"], strict=True)
    shown = pd.DataFrame({"method": [_name(method, options) for method, options in pairs]})
    shown["backbone"] = list(map(label_of_network, rows["backbone"]))
    for column in ("steps", "scenes", "seconds", "seed"):
        shown[column] = [number(value, ".0f") for value in rows[column].astype(float)]
    shown["device"] = rows["device"].fillna(MISSING).to_numpy()
    shown["ships with the project"] = ["yes" if one is True else "no" for one in rows["shipped"]]
    title = "How long each variant was trained"
    caption = f"{len(rows)} trainings. {setup_text(e, rows['device'])}"
    yield Table(f"training{e.suffix}", title, caption, shown, rows, [NOTE])


def _name(method: str, options: str) -> str:
    """A method with the options that differ from its defaults."""
    if method == "base":
        return "the backbone itself"
    known = METHODS.get(method)
    chosen = known.Options.model_validate(json.loads(options))
    changed = chosen.model_dump(mode="json", exclude_defaults=True)
    texts = [option_text(name, value) for name, value in changed.items()]
    return f"{known.label} ({', '.join(texts)})" if texts else known.label


SECTION = Section("training", 120, "training", frame_tables=training_table)
