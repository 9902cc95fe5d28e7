"""What the Snakefile needs of a plan. Light: imports neither plug-ins nor torch nor pydantic.

The plan is made in a subprocess, and again only when the configuration, methods/, datasets/ or the library change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench3r.files import digest, tree_digest, write_text
from bench3r.jobs import server

CACHE = Path(".bench3r")
LIBRARY = Path(__file__).resolve().parent.parent
ROOT = LIBRARY.parent
DEFAULT = ROOT / "config" / "default.yaml"


class WorkflowPlan:
    """A plan file, read as plain JSON."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.name = str(plan["config"]["name"])
        self.device = str(plan["config"]["device"])
        self.score_key = str(plan["score_key"])
        self.report_key = tree_digest([LIBRARY / "report", LIBRARY / "stages" / "report.py"])
        self._entries = {
            k: {e["id"]: e for e in plan[k]} for k in ("datasets", "trainings", "cells", "profiles")
        }

    def names(self, kind: str) -> list[str]:
        """Ids of all entries of ``kind``: datasets, trainings, cells or profiles."""
        return list(self._entries[kind])

    def key(self, kind: str, name: str) -> str:
        """Hash of all that defines an entry; a change makes its files stale."""
        return str(self._entries[kind][name]["key"])

    def entry(self, kind: str, name: str) -> dict[str, Any]:
        """One entry of ``kind``."""
        return self._entries[kind][name]

    def missing(self) -> list[str]:
        """Data roots and weight files that the run names and that are not there, each as one line."""
        out = []
        for entry in self._entries["datasets"].values():
            if entry["root"] != "procedural" and not Path(entry["root"]).expanduser().is_dir():
                out.append(
                    f"datasets.{entry['name']}.root: {entry['root']} (bench3r list --datasets says how to get it)"
                )
        used = {c["backbone"] for c in self._entries["cells"].values() if not c["unsupported"]} - {
            "none"
        }
        base = self.plan["config"]["base"]
        for backbone in sorted(used):
            source = base.get(backbone) if isinstance(base, dict) else base
            if source in (None, "train") or str(source).startswith("hub:"):
                continue
            scale = self.plan["config"]["scale"]
            path = (
                LIBRARY / "weights" / f"{backbone}-{scale}.safetensors"
                if source == "shipped"
                else Path(source)
            )
            if not path.expanduser().is_file():
                what = (
                    f"no shipped weights at scale {scale}" if source == "shipped" else str(source)
                )
                out.append(f"base.{backbone}: {what}")
        return out

    def begin(self, local: bool) -> None:
        """Before the first job: refuse a run that lacks data or weights; offer ``local`` jobs a server where that pays.

        Raises snakemake's WorkflowError with one line per thing that is missing.
        """
        from snakemake.exceptions import WorkflowError

        if missing := self.missing():
            raise WorkflowError("Nothing was started. Missing:", *missing)
        if local and len(self._entries["cells"]) >= server.PAYS:
            server.start()

    def trainings_of(self, kind: str, name: str) -> list[str]:
        """Trainings whose weights an entry of ``kind`` needs."""
        entry = self.entry(kind, name)
        return [t for t in (entry.get("base"), entry.get("trained")) if t]


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """The run's configuration: Snakemake's own when it names methods, else config/default.yaml with its overrides."""
    if "methods" in config:
        return dict(config)
    return {**yaml.safe_load(DEFAULT.read_text()), **config}


def load_plan(config: Mapping[str, Any]) -> tuple[str, WorkflowPlan]:
    """The plan file of ``config`` and what the rules read of it. Exits with the planner's message when it refuses.

    The file is named after the run, and made again when what it was made from (``.made_from``) changed.
    """
    use_this_python()
    resolved = resolve(config)
    name = "".join(
        c if c.isalnum() or c in "-_." else "_" for c in str(resolved.get("name", "unnamed"))
    )
    path, stamp = CACHE / f"{name}.json", CACHE / f"{name}.made_from"
    made_from = digest(
        [resolved, tree_digest([ROOT / "methods", ROOT / "datasets", LIBRARY]), weights_state()]
    )
    if not (path.exists() and stamp.exists() and stamp.read_text() == made_from):
        source = path.with_suffix(".yaml")
        write_text(source, yaml.safe_dump(resolved, sort_keys=False))
        command = [
            sys.executable,
            "-m",
            "bench3r",
            "plan",
            "--config",
            str(source),
            "--out",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"planning failed\n{done.stderr.strip() or done.stdout.strip()}")
        print(done.stderr, end="", file=sys.stderr)  # plug-ins that were left out
        write_text(stamp, made_from)
    return str(path), WorkflowPlan(json.loads(path.read_text()))


def use_this_python() -> None:
    """Make the rules' ``python`` the one that runs Snakemake, also when its environment is not activated."""
    folder = str(Path(sys.executable).parent)
    if os.environ.get("PATH", "").split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])


def weights_state() -> list[Any]:
    """Size and time of the shipped weights: cheap, and enough to notice new ones."""
    return [
        [p.name, p.stat().st_size, p.stat().st_mtime_ns]
        for p in sorted((LIBRARY / "weights").glob("*.safetensors"))
    ]
