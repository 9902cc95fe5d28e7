"""A bundle of a finished run that another person can verify.

It holds configuration, plan and records, and the hash of every file. Predictions are named by their
hashes alone.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from bench3r.api.errors import Bench3RError
from bench3r.run import paths
from bench3r.run.plan import Plan
from bench3r.run.provenance import version_of

MANIFEST = "manifest.json"
RECORDS = "records.parquet"
PROFILES = "profiles.jsonl"
TABLES = (
    RECORDS,
    "records.csv",
    PROFILES,
    "facts.jsonl",
    "trainings.jsonl",
    "largest.jsonl",
)
NAMED = 5  # damaged files that an error names


class Manifest(BaseModel):
    """What a bundle holds: its files with their hashes, and planned files that it lacks."""

    format: int = 1
    run: str
    bench3r: str | None = None
    sha256: dict[str, str]
    missing: list[str] = []


def contents(plan: Plan) -> Iterator[tuple[str, Path]]:
    """Name in the bundle and file on disk of everything that belongs to the run."""
    run = plan.name
    folder = paths.collected(run).parent
    for name in TABLES:
        yield name, folder / name
    for cell in plan.cells:
        yield f"predict/{cell.id}.jsonl", paths.predicted(run, cell.id)
        yield f"score/{cell.id}.jsonl", paths.scored(run, cell.id)
    for profile in plan.profiles:
        yield f"profile/{profile.id}.json", paths.profiled(run, profile.id)
    for training in plan.trainings:
        yield f"train/{training.id}.json", paths.trained(run, training.id).with_suffix(".json")
    for dataset in plan.datasets:
        yield f"data/{dataset.id}.json", paths.prepared(dataset.id)


def export(plan: Plan, out: Path) -> Manifest:
    """Write the bundle and return its manifest.

    Raises Bench3RError when the run was not collected, and when ``out`` exists.
    """
    run = plan.name
    if out.exists():
        raise Bench3RError(f"{out}: file exists; a bundle is never overwritten")
    if not paths.collected(run).exists():
        raise Bench3RError(f"{paths.collected(run)}: the run has no collected records yet")
    files: dict[str, bytes] = {}
    missing: list[str] = []
    for name, path in contents(plan):
        if path.is_file():
            files[name] = path.read_bytes()
        else:
            missing.append(name)
    files["plan.json"] = json.dumps(plan.model_dump(mode="json"), indent=1, sort_keys=True).encode()
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = Manifest(
        run=run, bench3r=version_of("bench3r"), sha256=hashes, missing=sorted(missing)
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        for name in sorted(files):
            bundle.writestr(name, files[name])
    return manifest


def verify(source: Path) -> Manifest:
    """The manifest of a bundle, after every file was found equal to its hash.

    Raises Bench3RError naming the files that are damaged, missing, or not listed.
    """
    try:
        with zipfile.ZipFile(source) as bundle:
            manifest = Manifest.model_validate_json(bundle.read(MANIFEST))
            names = set(bundle.namelist()) - {MANIFEST}
            changed = _changed(bundle, manifest, names)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Bench3RError(f"{source}: not a bundle of bench3r export ({error})") from error
    listed = set(manifest.sha256)
    _refuse(source, "changed", changed)
    _refuse(source, "missing", listed - names)
    _refuse(source, "not listed", names - listed)
    return manifest


def _changed(bundle: zipfile.ZipFile, manifest: Manifest, names: set[str]) -> set[str]:
    """Files of the bundle whose bytes are not those that the manifest names."""
    out = set()
    for name in names & manifest.sha256.keys():
        if hashlib.sha256(bundle.read(name)).hexdigest() != manifest.sha256[name]:
            out.add(name)
    return out


def _refuse(source: Path, what: str, files: set[str]) -> None:
    if files:
        some = ", ".join(sorted(files)[:NAMED])
        raise Bench3RError(f"{source}: {len(files)} files are {what}: {some}")
