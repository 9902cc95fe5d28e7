"""What identifies the inputs of a cell: the weights that it starts from and the files behind it, by their hashes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from bench3r.api.method import METHODS
from bench3r.files import digest, file_digest
from bench3r.models.catalogue import NO_BACKBONE
from bench3r.run.config import RunConfig
from bench3r.run.provenance import stage_hash


def digest_once(path: Path) -> str:
    """Hash of a file, computed once per process for a file that stays as it is: checkpoints are large."""
    found = path.stat()
    return _digest_of(path, found.st_mtime_ns, found.st_size)


@cache
def _digest_of(path: Path, changed: int, size: int) -> str:
    return file_digest(path)


def base_key(config: RunConfig, backbone: str) -> dict[str, Any]:
    """What identifies the weights that ``backbone`` starts from; nothing for what has no backbone."""
    if backbone == NO_BACKBONE:
        return {}
    base = config.base_of(backbone)
    if base == "train":
        return {"base": "train", "train": config.train.model_dump(), "code": stage_hash("train")}
    if base == "shipped":
        path = Path(__file__).parent.parent / "weights" / f"{backbone}-{config.scale}.safetensors"
        return {"base": path.name, "file": digest_once(path) if path.is_file() else None}
    path = Path(base)
    return {"base": base, "file": digest_once(path) if path.is_file() else None}


def shipped_part(method: str, options: dict[str, Any], backbone: str, scale: str) -> Path | None:
    """The weights that ship for ``method`` with these ``options``, if there are any."""
    path = (
        Path(__file__).parent.parent
        / "weights"
        / f"{method}-{backbone}-{scale}-{digest(options)[:8]}.safetensors"
    )
    return path if path.is_file() else None


def method_key(name: str) -> str:
    """Hash of the method's own file."""
    return digest_once(METHODS.file_of(name))
