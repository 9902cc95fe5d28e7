"""Where the files of a run lie. One place, so that stages and the workflow agree."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path("results")
REPORTS = Path("reports")


def prepared(dataset: str) -> Path:
    """Frame lists and checks of a prepared dataset."""
    return RESULTS / "data" / f"{dataset}.json"


def data_folder(dataset: str) -> Path:
    """Root of a procedural dataset."""
    return RESULTS / "data" / dataset


def trained(run: str, training: str) -> Path:
    """Weights that a training produced."""
    return RESULTS / run / "train" / f"{training}.safetensors"


def predicted(run: str, cell: str) -> Path:
    """Predict records of a cell; scenes and progress lie in the folder of the same name."""
    return RESULTS / run / "predict" / f"{cell}.jsonl"


def scored(run: str, cell: str) -> Path:
    """Score records of a cell."""
    return RESULTS / run / "score" / f"{cell}.jsonl"


def profiled(run: str, profile: str) -> Path:
    """Cost record."""
    return RESULTS / run / "profile" / f"{profile}.json"


def collected(run: str) -> Path:
    """The tidy table of a run."""
    return RESULTS / run / "records.parquet"


def report(run: str) -> Path:
    """The report of a run; its tables, figures and page lie beside it."""
    return REPORTS / run / "index.md"


def answer(run: str) -> Path:
    """The answer of a run as a terminal shows it at the end."""
    return report(run).with_name("answer.txt")


def trained_or_none(run: str, training: str | None) -> Path | None:
    """Weights that a training produced; None without one."""
    return None if training is None else trained(run, training)
