"""Profile: one cost measurement of a plan, or the counted cost of all methods without running."""

from __future__ import annotations

from pathlib import Path

from bench3r.api.errors import Bench3RError
from bench3r.files import write_text
from bench3r.jobs.gpus import claim_for
from bench3r.jobs.profile import Measurement
from bench3r.jobs.tasks import ProfileTask
from bench3r.run import paths
from bench3r.run.plan import read_plan
from bench3r.run.records import ProfileRecord


def profile(plan_file: Path, name: str, out: Path | None, threads: int) -> ProfileRecord:
    """Measure what ``name`` of the plan asks for and write the record.

    Raises Bench3RError for an unknown measurement, a missing device and a lost infrastructure.
    """
    plan = read_plan(plan_file)
    entry = plan.profile(name)
    claim_for(plan.config.device)
    task = ProfileTask(
        plan=plan_file,
        prepared=paths.prepared(entry.dataset),
        base=paths.trained_or_none(plan.name, entry.base),
        fitted=paths.trained_or_none(plan.name, entry.trained),
        profile=entry.id,
        frames=entry.frames,
        out=out or paths.profiled(plan.name, name),
        threads=threads,
    )
    return Measurement(plan, entry, task).run()


def count_published(device: str, scale: str, frames: str, out: Path | None) -> str:
    """The table of FLOPs at ``scale`` as Markdown; with ``out`` every number is written as CSV.

    Raises Bench3RError for another device than meta, and for frame counts that are no numbers.
    """
    from bench3r.report.published import PUBLISHED_FRAMES, published_table

    if device != "meta":
        only = "only meta counts without a plan; the plan says where others run"
        raise Bench3RError(f"profile: --device {device}: {only}")
    words = frames.replace(",", " ").split()
    if not all(word.isdigit() for word in words):
        raise Bench3RError(f"profile: --frames {frames}: expected numbers of frames")
    table = published_table(scale, tuple(map(int, words)) or PUBLISHED_FRAMES)
    if out:
        write_text(out, table.raw.to_csv(index=False))
    return table.markdown()
