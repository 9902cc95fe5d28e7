"""What makes results stale: the code behind each stage, plug-ins and weights, by their hashes.

``STAGE_CODE`` is the one map from a stage to the rooms it runs through. Whole rooms are hashed, and
what a file does, not how it is written: comments, docstrings and layout re-run nothing.
``bench3r/run/`` itself is in few entries, because configuration and plan reach a key as values.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bench3r.api.dataset import DATASETS
from bench3r.api.method import METHODS
from bench3r.api.registry import LIBRARY, Registry
from bench3r.files import code_digest, digest, file_digest, sources
from bench3r.models.catalogue import NO_BACKBONE
from bench3r.run.config import RunConfig
from bench3r.run.records import Json, Options, TrainRecord, read_record

FOUNDATION = ("files.py", "api")
# What a network is made of; pairwise models use three files of the metrics.
NETWORKS = (
    *FOUNDATION,
    "models",
    "attention",
    "recursion",
    "pairwise",
    "metrics/alignment.py",
    "metrics/clouds.py",
    "metrics/pose.py",
)
SUPERVISED = ("measure", "run/context.py", "jobs/failures.py", "jobs/fork.py", "jobs/watch.py")
STAGE_CODE: dict[str, tuple[str, ...]] = {
    "prepare": (*FOUNDATION, "data", "stages/prepare.py"),
    "train": (
        *NETWORKS,
        "data",
        "training",
        "measure/allocator.py",
        "run/context.py",
        "stages/train.py",
    ),
    "predict": (*NETWORKS, "data", *SUPERVISED, "jobs/predict.py", "jobs/predict_worker.py"),
    "profile": (
        *NETWORKS,
        "data",
        *SUPERVISED,
        "jobs/profile.py",
        "jobs/profile_inputs.py",
        "jobs/profile_ladder.py",
        "jobs/profile_measure.py",
        "jobs/profile_worker.py",
    ),
    "score": (*FOUNDATION, "data", "metrics", "models", "protocols", "stages/score.py"),
    "collect": (
        *FOUNDATION,
        "data",
        "metrics",
        "models",
        "protocols",
        "run",
        "stages/score.py",
        "stages/collect.py",
    ),
    "report": (
        *NETWORKS,
        "metrics",
        "data",
        "measure",
        "training",
        "protocols",
        "run",
        "report",
        "stages/report.py",
    ),
}
# What plug-ins declare for tables and figures alone; it is no part of what they do.
SHOWN_OF_METHODS = frozenset({"label", "source", "facts", "sections", "reported"})
SHOWN_OF_DATASETS = frozenset({"label", "licence", "obtain"})
NO_HELPERS = ("__init__", "_template")


@cache
def stage_hash(stage: str) -> str:
    """Hash of the library sources behind a stage."""
    return code_digest(LIBRARY / part for part in STAGE_CODE[stage])


def method_key(name: str) -> str:
    """Hash of what a method does: its own file and the helpers (``_x.py``) beside it."""
    return code_digest(_plugin_files(METHODS, name), leave_out=SHOWN_OF_METHODS)


def dataset_key(name: str) -> str:
    """Hash of how a dataset is read: its own file and the helpers (``_x.py``) beside it."""
    return code_digest(_plugin_files(DATASETS, name), leave_out=SHOWN_OF_DATASETS)


def _plugin_files(registry: Registry, name: str) -> list[Path]:
    own = registry.file_of(name)
    return [own, *sorted(p for p in own.parent.glob("_*.py") if p.stem not in NO_HELPERS)]


def presentation_hash(stage: str) -> str:
    """Hash of what a stage makes tables of: its code, all plug-ins, papers' own numbers."""
    plugins = [code_digest(sources(r.folder)) for r in (METHODS, DATASETS)]
    return digest([stage_hash(stage), *plugins])


def digest_once(path: Path) -> str:
    """Hash of a file, computed once per process for a file that stays as it is.

    Checkpoints are large.
    """
    found = path.stat()
    return _digest_of(path, found.st_mtime_ns, found.st_size)


@cache
def _digest_of(path: Path, changed: int, size: int) -> str:
    return file_digest(path)


def base_key(config: RunConfig, backbone: str) -> Json:
    """What identifies the weights that ``backbone`` starts from; nothing for what has none.

    Raises Bench3RError when the configuration has no base for it.
    """
    if backbone == NO_BACKBONE:
        return {}
    base = config.base_of(backbone)
    if base == "train":
        settings = config.train.model_dump(mode="json")
        return {"base": "train", "train": settings, "code": stage_hash("train")}
    path = Path(base)
    if base == "shipped":
        path = LIBRARY / "weights" / f"{backbone}-{config.scale}.safetensors"
        base = path.name
    return {"base": base, "file": digest_once(path) if path.is_file() else None}


def shipped_part(method: str, options: Options, backbone: str, scale: str) -> Path | None:
    """The weights that ship for ``method`` with these ``options``, if there are any.

    Options that the method got after they were trained stand at their defaults in them.
    """
    cls = METHODS.get(method).Options
    for path in sorted((LIBRARY / "weights").glob(f"{method}-{backbone}-{scale}-*.safetensors")):
        recorded = read_record(path.with_suffix(".json"), TrainRecord).options
        if cls.model_validate(recorded) == cls.model_validate(options):
            return path
    return None
