"""The datasets of a run: what a configuration asks of each, checked, and the hash of its scenes."""

from __future__ import annotations

from bench3r.api.dataset import DATASETS, Dataset
from bench3r.api.errors import Bench3RError, unknown
from bench3r.data.frame_lists import load_list
from bench3r.data.procedural.seeds import GENERATOR_VERSION, TEST_SEEDS
from bench3r.files import digest
from bench3r.run.config import RunConfig
from bench3r.run.config_sections import DatasetConfig
from bench3r.run.keys import dataset_key, stage_hash
from bench3r.run.plan import DatasetEntry

SIDES = {"tiny": 96, "paper": 256, "full": 518}  # pixels of an image, for the estimate of disk


def check_frame_list(name: str, wanted: DatasetConfig, frames: list[int]) -> None:
    """Whether a dataset's frame list and the frame counts of the run go together.

    Raises Bench3RError for a frame list of another dataset, and where the two contradict.
    """
    where = f"config: datasets.{name}"
    if wanted.frame_list is None:
        if 0 in frames:
            raise Bench3RError(f"{where}: frames 0 means those of a frame list, and it has none")
        return
    found = load_list(wanted.frame_list)
    if found.dataset != name:
        raise Bench3RError(f"{where}.frame_list: {found.name} is a list of {found.dataset}")
    if found.fixes_frames == (frames == [0]):
        return
    asked = "leaves the number of frames to `frames`"
    if found.fixes_frames:
        asked = "fixes the frames: set `frames: [0]`"
    raise Bench3RError(f"{where}.frame_list: {found.name} {asked}, got {frames}")


def check_procedural(wanted: DatasetConfig, cls: type[Dataset], frames: list[int]) -> None:
    """Whether a dataset can be rendered as asked.

    Raises Bench3RError for one without a procedural stand-in, and for fewer views than frames.
    """
    where = f"config: datasets.{cls.name}"
    if cls.procedural_style is None:
        problem = f"{cls.name} has no procedural stand-in; give the data root. {cls.obtain}"
        raise Bench3RError(f"{where}.root: {problem}")
    if max(frames) > wanted.views:
        raise Bench3RError(f"{where}.views is {wanted.views}, fewer than frames {max(frames)}")


def plan_dataset(name: str, wanted: DatasetConfig, frames: list[int]) -> DatasetEntry:
    """The entry of one configured dataset, with the hash of all that defines its scenes."""
    spec = {
        **wanted.model_dump(exclude={"main"}),
        "frames": frames,
        "code": stage_hash("prepare"),
        "plugin": dataset_key(name),
    }
    if wanted.root == "procedural":
        spec |= {"generator": GENERATOR_VERSION, "seeds": TEST_SEEDS + wanted.seed}
    key = digest(spec)
    return DatasetEntry(
        id=f"{name}-{key[:8]}",
        name=name,
        root=wanted.root,
        scenes=wanted.scenes,
        views=wanted.views,
        step=wanted.step,
        windows=wanted.windows,
        frames=frames,
        seed=wanted.seed,
        key=key,
        main=wanted.main,
        frame_list=wanted.frame_list,
        intrinsics=wanted.intrinsics,
    )


def plan_datasets(config: RunConfig, classes: dict[str, type[Dataset]]) -> list[DatasetEntry]:
    """Entries for the configured datasets.

    Raises Bench3RError for unknown ones and for what cannot be prepared.
    """
    entries = []
    for name, wanted in config.datasets.items():
        if name not in classes:
            raise unknown("dataset", name, classes, "config: datasets")
        if wanted.root == "procedural":
            check_procedural(wanted, classes[name], config.frames)
        check_frame_list(name, wanted, config.frames)
        entries.append(plan_dataset(name, wanted, config.frames))
    return entries


def adhoc_dataset(name: str, wanted: DatasetConfig, frames: list[int]) -> DatasetEntry:
    """The dataset entry of a typed command, outside any plan.

    Raises Bench3RError as :func:`plan_datasets` does.
    """
    config = RunConfig(name="adhoc", methods={"-": None}, datasets={name: wanted}, frames=frames)
    return plan_datasets(config, DATASETS.usable()[0])[0]


def prediction_bytes(config: RunConfig, dataset: str, frames: int) -> int:
    """Upper estimate of what the predictions of one cell take, uncompressed."""
    wanted = config.datasets[dataset]
    listed = load_list(wanted.frame_list).lists if wanted.frame_list else {}
    scenes = wanted.scenes
    if not isinstance(scenes, int):
        scenes = len(listed) or len(scenes)
    if not frames:
        frames = max((len(f) for f in listed.values() if f), default=0)
    per_pixel = 4 + 2 * config.keep.depth_conf + 12 * config.keep.world_points
    return scenes * wanted.windows * frames * SIDES[config.scale] ** 2 * per_pixel
