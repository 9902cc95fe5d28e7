"""What the Snakefile needs of a plan. Light: imports neither plug-ins nor torch nor pydantic.

The plan is made in a subprocess, and again only when the configuration, methods/, datasets/ or the
library change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from bench3r.api.errors import Bench3RError
from bench3r.files import digest, read_yaml, tree_digest, write_text
from bench3r.run import paths

CACHE = Path(".bench3r")
LIBRARY = Path(__file__).resolve().parent.parent
ROOT = LIBRARY.parent
DEFAULT = ROOT / "config" / "default.yaml"

# Parsed JSON and YAML; what they hold is checked where a plan is made.
Raw = dict[str, Any]


class WorkflowPlan:
    """A plan file, read as plain JSON."""

    def __init__(self, plan: Raw) -> None:
        self.config: Raw = plan["config"]
        self.name = str(self.config["name"])
        self.device = str(self.config["device"])
        self.score_key = str(plan["score_key"])
        self.collect_key = str(plan["collect_key"])
        self.report_key = str(plan["report_key"])
        self._entries: dict[str, dict[str, Raw]] = {}
        for kind in ("datasets", "trainings", "cells", "profiles"):
            self._entries[kind] = {entry["id"]: entry for entry in plan[kind]}

    def names(self, kind: str) -> list[str]:
        """Ids of all entries of ``kind``: datasets, trainings, cells or profiles."""
        return list(self._entries[kind])

    def key(self, kind: str, name: str) -> str:
        """Hash of all that defines an entry; a change makes its files stale."""
        return str(self._entries[kind][name]["key"])

    def entry(self, kind: str, name: str) -> Raw:
        """One entry of ``kind``."""
        return self._entries[kind][name]

    def trainings_of(self, kind: str, name: str) -> list[str]:
        """Trainings whose weights an entry of ``kind`` needs."""
        entry = self.entry(kind, name)
        return [t for t in (entry.get("base"), entry.get("trained")) if t]

    def processes(self, training: str) -> int:
        """How many processes share a training, each on a GPU of its own where there are GPUs."""
        return int(self.entry("trainings", training)["processes"])

    def launcher(self, training: str) -> str:
        """What starts them: Python itself, or torchrun on one node."""
        count = self.processes(training)
        if count == 1:
            return "python"
        return f"python -m torch.distributed.run --standalone --nproc-per-node={count}"

    def missing(self) -> list[str]:
        """Data roots and weight files that the run names and that are not there, one line each."""
        return [*self._missing_roots(), *self._missing_weights()]

    def _missing_roots(self) -> list[str]:
        lines = []
        for entry in self._entries["datasets"].values():
            root = entry["root"]
            if root != "procedural" and not Path(root).expanduser().is_dir():
                hint = "bench3r list --datasets says how to get it"
                lines.append(f"datasets.{entry['name']}.root: {root} ({hint})")
        return lines

    def _missing_weights(self) -> list[str]:
        used = {c["backbone"] for c in self._entries["cells"].values() if not c["unsupported"]}
        base, scale = self.config["base"], self.config["scale"]
        lines = []
        for backbone in sorted(used - {"none"}):
            source = base.get(backbone) if isinstance(base, dict) else base
            if source in (None, "train") or str(source).startswith("hub:"):
                continue
            path, what = Path(source), str(source)
            if source == "shipped":
                path = LIBRARY / "weights" / f"{backbone}-{scale}.safetensors"
                what = f"no shipped weights at scale {scale}"
            if not path.expanduser().is_file():
                lines.append(f"base.{backbone}: {what}")
        return lines


def resolve(config: Mapping[str, Any]) -> Raw:
    """The run's configuration.

    Snakemake's own when it names methods, else config/default.yaml with its overrides.
    """
    if "methods" in config:
        return dict(config)
    return {**read_yaml(DEFAULT), **config}


def load_plan(config: Mapping[str, Any], files: Iterable[str] = ()) -> tuple[str, WorkflowPlan]:
    """The plan file of ``config`` and what the rules read of it.

    The file is named after the run, and made again when what it was made from (``.made_from``)
    changed. ``files``: those that Snakemake read ``config`` from. Exits with the planner's message
    when it refuses, and for a key that stands twice in one of ``files``, of which Snakemake keeps
    the last.
    """
    use_this_python()
    _read_again(files)
    resolved = resolve(config)
    name = _file_name(str(resolved.get("name", "unnamed")))
    path = CACHE / f"{name}.json"
    stamp = CACHE / f"{name}.made_from"
    code = tree_digest([ROOT / "methods", ROOT / "datasets", LIBRARY])
    made_from = digest([resolved, code, weights_state()])
    if not (path.exists() and stamp.exists() and stamp.read_text() == made_from):
        source = path.with_suffix(".yaml")
        write_text(source, yaml.safe_dump(resolved, sort_keys=False))
        _plan(source, path)
        write_text(stamp, made_from)
    return str(path), WorkflowPlan(json.loads(path.read_text()))


def _read_again(files: Iterable[str]) -> None:
    """Read configuration files as Bench3R reads them, to see what Snakemake's reader passes over.

    Exits with the mistake's file and line.
    """
    try:
        for file in files:
            read_yaml(Path(file))
    except Bench3RError as error:
        sys.exit(f"planning failed\n{error}")


def _plan(source: Path, out: Path) -> None:
    """Plan in a process of its own. Exits with the planner's message when it refuses."""
    arguments = ["plan", "--config", str(source), "--out", str(out)]
    command = [sys.executable, "-m", "bench3r", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"planning failed\n{done.stderr.strip() or done.stdout.strip()}")
    print(done.stderr, end="", file=sys.stderr)  # plug-ins that were left out


def last_lines(run: str) -> str:
    """What a finished run prints last: the answer of its report, or where to look without one."""
    path = paths.answer(run)
    return path.read_text() if path.is_file() else f"Read {path.with_name('index.md')}\n"


def _file_name(run: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in run)


def use_this_python() -> None:
    """Make the rules' ``python`` the one that runs Snakemake, activated or not."""
    folder = str(Path(sys.executable).parent)
    if os.environ.get("PATH", "").split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])


def weights_state() -> list[tuple[str, int, int]]:
    """Name, size and time of the shipped weights: cheap, and enough to notice new ones."""
    state = []
    for path in sorted((LIBRARY / "weights").glob("*.safetensors")):
        found = path.stat()
        state.append((path.name, found.st_size, found.st_mtime_ns))
    return state
