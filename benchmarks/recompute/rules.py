"""What every table of a report is made from, said once more: by name of the table its rule."""

from __future__ import annotations

import json
import re
import statistics
from collections import defaultdict

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.models.catalogue import reference_backbone
from benchmarks.recompute.costs import (
    Value,
    cost_columns,
    mean,
    profile_of,
    roofline_columns,
    times,
)
from benchmarks.recompute.equal_cost import equal_cost
from benchmarks.recompute.papers import paper_table
from benchmarks.recompute.records import Part, Raw, Setting
from benchmarks.recompute.rules_of_protocols import protocol_family, protocol_summary
from benchmarks.recompute.tables import Rule, Table

QUALITY = re.compile(r"(\w+)/(\w+)/(\w+)")
NO_RECORD = "computed from sizes alone: there is no record"
WORDS = "words that rules conclude"
RECORDED = ("stored/weight_bytes", "stored/parameters", "stored/peak_rss_bytes")
NOT_APPLICABLE = "not applicable: "


def comparison(table: Table) -> list[dict[str, Value]]:
    """A comparison: quality, cost, scenes finished and what methods record."""
    first = table.path.with_name(table.path.name.replace("_differences", ""))
    part = Table(table.records, first).part
    out = []
    for row in table.rows:
        setting = Setting(row["method"], row["backbone"], row["options"])
        found: dict[str, Value] = {}
        for name in row:
            match = QUALITY.fullmatch(name)
            if match:
                quality = table.column(match[1], match[2], part)
                found[name] = quality.numbers(setting).get(match[3])
        states = part.finished.get(setting, {})
        found |= {"n": sum(states.values()), "N": len(states), "compared": len(part.common)}
        if "flops_per_scene" in row:
            found |= cost_columns(part, setting)
        out.append(found | _facts(part, setting, row) | _stored(part, setting))
    return out


def _stored(part: Part, setting: Setting) -> dict[str, Value]:
    """What the cost record says of stored weights."""
    cost = profile_of(part.records, setting, part.frames)
    return {n: None if cost is None else cost[n.removeprefix("stored/")] for n in RECORDED}


def _facts(part: Part, setting: Setting, names: dict[str, str]) -> dict[str, Value]:
    """Means over scenes of what methods record, or how many scenes record that it holds."""
    everyone = [row["extras"] for s in part.settings for row in part.facts(s, common=False)]
    own = [row["extras"] for row in part.facts(setting, common=False)]
    out: dict[str, Value] = {}
    for name in names:
        known = [extras[name] for extras in everyone if extras.get(name) is not None]
        if known and isinstance(known[0], bool):
            out[name] = sum(extras.get(name) is True for extras in own)
        elif known and not isinstance(known[0], str):
            out[name] = mean([extras.get(name) for extras in own])
    return out


def answer(table: Table) -> list[dict[str, Value]]:
    """The first rows: means over the main comparison, and costs."""
    records = table.records
    datasets = records.main_datasets()
    part = Part(records, records.main_settings(), datasets, table.frames)
    out = []
    for setting in table.settings:
        found: dict[str, Value] = dict(cost_columns(part, setting))
        if setting == table.records.unchanged(setting):
            found["flop_saving"] = None
        for name in table.rows[0]:
            match = QUALITY.fullmatch(name)
            if match:
                found[name] = table.column(match[1], match[2], part).numbers(setting)[match[3]]
        out.append(found)
    return out


def roofline(table: Table) -> list[dict[str, Value]]:
    """What FLOPs alone would predict."""
    return [roofline_columns(table.records, s, table.frames) for s in table.settings]


def savings(table: Table) -> list[dict[str, Value]]:
    """What adaptive depth saves: means over all scenes, and paired times."""
    records = table.records
    part = Part(records, [], records.main_datasets(), table.frames)
    out = []
    for setting in _named(table):
        extras = [row["extras"] for row in part.facts(setting, common=False)]
        names = ("f", "m", "K", "counted_saving", "predicted_saving", "rule_saving")
        found: dict[str, Value] = {n: mean([e.get(n) for e in extras]) for n in names}
        out.append(found | times(setting, profile_of(records, setting, table.frames)))
    return out


def _named(table: Table) -> list[Setting]:
    """The settings of rows that are called by a label and the options that tell them apart."""
    every = list(dict.fromkeys(cell.setting for cell in table.records.cells))
    main = table.records.main_settings()
    order = [*main, *(s for s in every if s not in main)]
    used: list[Setting] = []
    for row in table.rows:
        label, _, said = row["method"].rstrip(")").partition(" (")
        fitting = [s for s in order if table.records.label_of(s) == label and s not in used]
        told = [s for s in fitting if said and _says(s, said)]
        used.append((told or fitting)[0])
    return used


def _says(setting: Setting, said: str) -> bool:
    """Whether "max depth 2" is what ``setting`` has set."""
    options = json.loads(setting.options)
    listed = [f"{name.replace('_', ' ')} {value}" for name, value in options.items()]
    return all(part in listed for part in said.split(", "))


def depths(table: Table) -> list[dict[str, Value]]:
    """Where recursion depth was spent, by scene type."""
    out = []
    for row in table.rows:
        setting = Setting(row["method"], row["backbone"], row["options"])
        counts: list[list[int]] = []
        for cell in table.records.cells:
            kind = DATASETS.get(cell.dataset).scene_type
            if cell.setting == setting and kind == row["scene type"] and "main" in cell.tables:
                found = table.records.predicted[cell.id]
                counts += [r["extras"]["depth_histogram"][1:] for r in found if r["status"] == "ok"]
        sums = [sum(column) for column in zip(*counts, strict=True)]
        shares = [count / sum(sums) for count in sums]
        values: dict[str, Value] = {f"D{i}": share for i, share in enumerate(shares, 1)}
        values["mean depth"] = sum(i * share for i, share in enumerate(shares, 1))
        out.append(values | {"scenes": len(counts)})
    return out


def training(table: Table) -> list[dict[str, Value]]:
    """What every training recorded."""
    out = []
    for row in table.rows:
        record = table.records.trainings[row["training"]]
        found: dict[str, Value] = {n: record.get(n) for n in ("seconds", "seed")}
        found["steps"] = record.get("steps_done")
        seen = record.get("scenes_seen")
        found["scenes"] = record.get("scenes") if seen is None else seen
        found["device"] = record["provenance"]["device"]
        out.append(found | {"shipped": record.get("shipped")})
    return out


def distillation(table: Table) -> list[dict[str, Value]]:
    """What trainings recorded by layer."""
    layers: dict[tuple[str, str, str], dict[str, float]] = {}
    for entry in table.records.plan["trainings"]:
        options = json.dumps(entry["options"], sort_keys=True)
        place = (entry["method"] or "", entry["backbone"], options)
        record = table.records.trainings.get(entry["id"], {})
        layers.setdefault(place, record.get("layers") or {})
    found: list[dict[str, Value]] = []
    for row in table.rows:
        place = (row["method"], row["backbone"], row["options"])
        found.append({"value": layers[place][row["layer"]]})
    return found


def components(table: Table) -> list[dict[str, Value]]:
    """Parameters and FLOPs by part of the first measured setting of each method."""
    parts: dict[str, tuple[str, ...]] = {}
    for cls in METHODS.all().values():
        for section in cls.sections:
            if getattr(section, "file", "") == table.name:
                parts = getattr(section, "components", {})
    first: dict[str, Raw] = {}
    for (setting, _), cost in table.records.profiles.items():
        if cost["status"] == "ok":
            first.setdefault(setting.method, cost)
    out = []
    for row in table.rows:
        found: dict[str, Value] = {}
        for name in row:
            method, _, what = name.partition("/")
            if what:
                by_part = first[method][f"{what}_by_part"]
                found[name] = sum(by_part.get(p, 0) for p in parts[row["component"]])
        out.append(found)
    return out


def pairwise(table: Table) -> list[dict[str, Value]]:
    """Whole models: the phases of their work, and their cost beside the reference's."""
    records = table.records
    dense = next(c for (s, _), c in records.profiles.items() if s.method == reference_backbone())
    out = []
    for row in table.rows:
        setting = next(
            s for s in records.kinds if (s.method, s.options) == (row["method"], row["options"])
        )
        cost = profile_of(records, setting, table.frames)
        assert cost is not None
        part = Part(records, [setting], records.main_datasets(), table.frames)
        own = part.facts(setting, common=False)
        found = _facts(part, setting, row) | {"total_s": statistics.median(cost["seconds"])}
        for phase, seconds in cost["phase_seconds"].items():
            found[f"{phase}_s"] = statistics.median(seconds)
            found[f"{phase}_peak_bytes"] = cost["phase_peak_bytes"][phase]
        found |= {"flops": cost["flops"], "flops_ratio": cost["flops"] / dense["flops"]}
        found |= {**times(setting, cost), "scenes": len(own)}
        extras = [row["extras"] for row in own]
        found["graph"] = extras[0]["graph"]
        found["converged"] = sum(e.get("alignment_converged") is True for e in extras)
        pairs = [(e.get("alignment_loss"), e.get("alignment_start_loss")) for e in extras]
        found["loss_change"] = mean([a / b for a, b in pairs if a is not None and b])
        out.append(found)
    return out


def missing(table: Table) -> list[dict[str, Value]]:
    """How many scenes lack a metric, or a result, for the reason that stands there."""
    lacking: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for cell in table.records.cells:
        for row in (*table.records.predicted[cell.id], *table.records.scored[cell.id]):
            place = (cell.label, cell.dataset)
            if row["status"] != "ok":
                lacking[(*place, row["status"], row["reason"])].add(row["scene"])
            for metric, reason in row.get("missing", {}).items():
                if not reason.startswith(NOT_APPLICABLE):
                    lacking[(*place, f"{row['protocol']}/{metric}", reason)].add(row["scene"])
    out: list[dict[str, Value]] = []
    for row in table.rows:
        what = row["metric"] if row["status"] == "metric missing" else row["status"]
        out.append({"scenes": len(lacking[row["label"], row["dataset"], what, row["reason"]])})
    return out


RULES: dict[str, Rule | str] = {
    "answer": answer,
    "claims|claims_open|contradictions|paper_[a-z0-9_]+": WORDS,
    "published_flops_.*|estimated_latency_.*": NO_RECORD,
    "roofline": roofline,
    "savings": savings,
    "table5": depths,
    "training": training,
    "distillation": distillation,
    "table1": components,
    "pairwise": pairwise,
    "missing": missing,
    "equal_cost": equal_cost,
    "protocols": protocol_summary,
    "protocols_.*": protocol_family,
    r"[a-z0-9_]+_table_\w+": paper_table,
    ".*": comparison,
}
