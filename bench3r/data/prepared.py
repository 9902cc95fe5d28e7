"""What preparing a dataset recorded: its frame lists and the checks of its scenes."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Intrinsics
from bench3r.files import digest, read_json, write_json


class SceneItem(BaseModel):
    """Frames of one scene that are reconstructed together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str  # name of the item in records and files; a scene with windows has several
    scene: str  # name of the scene in its dataset
    frames: list[str]


class SceneCheck(BaseModel):
    """What preparing found when it read the longest frame list of an item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ok: bool
    note: str  # why it failed, or why depth and poses could not be compared
    median_error: float | None = None  # relative, of z-depth moved between frames
    pairs: int = 0  # pairs of frames that were compared


class Prepared(BaseModel):
    """A dataset that is ready to be predicted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    key: str
    root: str
    procedural: bool
    frame_list: str | None
    intrinsics: Intrinsics
    lists: dict[str, list[SceneItem]]  # by frame count
    lists_sha256: str
    checks: dict[str, SceneCheck]  # by the item's id

    def items(self, frames: int) -> list[SceneItem]:
        """The items with ``frames`` frames. Raises Bench3RError when none were prepared."""
        if str(frames) not in self.lists:
            raise Bench3RError(f"{self.id}: no list of {frames} frames was prepared")
        return self.lists[str(frames)]

    def longest(self) -> list[SceneItem]:
        """The items with the most frames, which are those that were checked."""
        return self.lists[max(self.lists, key=int)]


def read_prepared(path: Path) -> Prepared:
    """What :func:`write_prepared` wrote. Raises Bench3RError for a missing or damaged file."""
    try:
        return Prepared.model_validate(read_json(path))
    except ValidationError as error:
        raise Bench3RError(f"{path}: not a prepared dataset ({error})") from error


def write_prepared(path: Path, prepared: Prepared) -> None:
    """Write ``prepared`` as JSON, atomically."""
    write_json(path, prepared.model_dump(mode="json", exclude_unset=True))


def lists_digest(lists: dict[str, list[SceneItem]]) -> str:
    """The hash of frame lists, which says whether two runs saw the same frames."""
    plain = {}
    for count, items in lists.items():
        plain[count] = [item.model_dump() for item in items]
    return digest(plain)


def open_prepared(prepared: Prepared) -> Dataset:
    """The dataset whose preparation is ``prepared``. Raises Bench3RError for a missing root."""
    return DATASETS.get(prepared.name)(Path(prepared.root), prepared.intrinsics)
