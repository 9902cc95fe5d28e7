"""A bundle of a finished run: configuration, plan, records and hashes of predictions, that another person can verify."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench3r.api.errors import Bench3RError
from bench3r.run import paths
from bench3r.run.plan import Plan
from bench3r.run.provenance import version_of

MANIFEST, RECORDS = "manifest.json", "records.parquet"
TABLES = (
    RECORDS,
    "records.csv",
    "profiles.jsonl",
    "facts.jsonl",
    "trainings.jsonl",
    "largest.jsonl",
)


def contents(plan: Plan) -> Iterator[tuple[str, Path]]:
    """Name in the bundle and file of everything that belongs to the run; predictions are named by their hashes alone."""
    run = str(plan.config["name"])
    folder = paths.collected(run).parent
    for name in TABLES:
        yield name, folder / name
    for cell in plan.cells:
        for stage, where in (("predict", paths.predicted), ("score", paths.scored)):
            yield f"{stage}/{cell.id}.jsonl", where(run, cell.id)
    for profile in plan.profiles:
        yield f"profile/{profile.id}.json", paths.profiled(run, profile.id)
    for training in plan.trainings:
        yield f"train/{training.id}.json", paths.trained(run, training.id).with_suffix(".json")
    for dataset in plan.datasets:
        yield f"data/{dataset.id}.json", paths.prepared(dataset.id)


def export(plan: Plan, out: Path) -> dict[str, Any]:
    """Write the bundle; returns its manifest. Raises Bench3RError when the run was not collected or ``out`` exists."""
    if out.exists():
        raise Bench3RError(f"{out}: file exists; a bundle is never overwritten")
    if not paths.collected(str(plan.config["name"])).exists():
        raise Bench3RError(
            f"{paths.collected(str(plan.config['name']))}: the run has no collected records yet"
        )
    files = {name: path.read_bytes() for name, path in contents(plan) if path.is_file()}
    files["plan.json"] = json.dumps(plan.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    manifest = {
        "format": 1,
        "run": plan.config["name"],
        "bench3r": version_of("bench3r"),
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
        "missing": sorted(name for name, path in contents(plan) if not path.is_file()),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(MANIFEST, json.dumps(manifest, indent=1))
        for name, data in sorted(files.items()):
            bundle.writestr(name, data)
    return manifest


def verify(source: Path) -> dict[str, Any]:
    """The manifest of a bundle, after every file was found equal to its hash.

    Raises Bench3RError naming the files that are damaged, missing, or not listed.
    """
    try:
        with zipfile.ZipFile(source) as bundle:
            manifest: dict[str, Any] = json.loads(bundle.read(MANIFEST))
            names = set(bundle.namelist()) - {MANIFEST}
            listed: dict[str, str] = manifest["sha256"]
            wrong = sorted(
                n
                for n in names & listed.keys()
                if hashlib.sha256(bundle.read(n)).hexdigest() != listed[n]
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Bench3RError(f"{source}: not a bundle of bench3r export ({error})") from error
    for text, found in (
        ("changed", wrong),
        ("missing", sorted(listed.keys() - names)),
        ("not listed", sorted(names - listed.keys())),
    ):
        if found:
            raise Bench3RError(f"{source}: {len(found)} files are {text}: {', '.join(found[:5])}")
    return manifest
