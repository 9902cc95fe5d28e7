"""The supervisor of cost measurements: each in a process of its own, watched, and the searches.

Running out of memory or time is a result. The measuring itself is
:mod:`bench3r.jobs.profile_worker`, which imports torch; this process does not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from bench3r.api.errors import Bench3RError
from bench3r.files import write_json
from bench3r.jobs.tasks import ProfileTask, write_task
from bench3r.jobs.watch import START_LIMIT, Verdict, Work, ended, run_worker
from bench3r.run.plan import Plan, ProfileEntry
from bench3r.run.records import USER_ERROR, Probe, ProfileRecord, RungRecord, read_record

WORKER = "bench3r.jobs.profile_worker"
CALLS = 30  # scenes' worth of time that a measurement of many calls may take
PRECISION = 0.05  # relative width at which the search for the maximum frame count ends


class Measurement:
    """One cost measurement of a plan. ``task`` says what all of its processes have in common."""

    def __init__(self, plan: Plan, entry: ProfileEntry, task: ProfileTask) -> None:
        self.entry = entry
        self.task = task
        self.out = task.out
        self.limits = plan.config.limits
        self.ladder = plan.config.profile.ladder
        self.cuda = plan.config.device == "cuda"

    def run(self) -> ProfileRecord:
        """Measure and write the record. Raises Bench3RError when the infrastructure is lost."""
        record = self._search(self.entry.largest) if self.entry.largest else self._measure()
        write_json(self.out, record.model_dump(mode="json"))
        return record

    def _measure(self) -> ProfileRecord:
        """Beside the unchanged backbone; without it where the two together need too much.

        The unchanged backbone itself is measured beside what the ladder makes of it.
        """
        record = self._once(self.entry.frames, probe=False)
        plugin = self.entry.method != self.entry.backbone  # whole models are measured alone
        if record.status not in ("oom", "timeout") or not (plugin or self.ladder):
            return record
        alone = self._once(self.entry.frames, probe=False, alone=True)
        if not plugin:
            for rung in self.ladder:
                lost = RungRecord(rung=rung, status=record.status, reason=record.reason)
                alone.ladder.append(lost)
        return alone

    def _once(self, frames: int, probe: bool, alone: bool = False) -> ProfileRecord:
        """One process.

        A measurement of many calls may take longer than the limit of a scene, a probe may not.
        """
        self.out.parent.mkdir(parents=True, exist_ok=True)
        file, log, answer = (self._beside(name) for name in ("job", "log", "answer"))
        asked = {"frames": frames, "probe": probe, "alone": alone, "out": answer}
        write_task(file, self.task.model_copy(update=asked))
        allowed = START_LIMIT + self.limits.seconds_per_scene * (1 if probe else CALLS)
        work = Work(WORKER, file, log, self.task.threads, self.limits.memory_gb)
        start = time.monotonic()
        try:
            code, verdict = run_worker(work, lambda: allowed - (time.monotonic() - start))
            if verdict is None and code == 0:
                return read_record(answer, ProfileRecord)
            if code == USER_ERROR and verdict is None:
                raise Bench3RError(log.read_text(errors="replace").strip())
            failed = verdict or ended(code, log)
        finally:
            for path in (file, log, answer):
                path.unlink(missing_ok=True)
        return self._failed(failed, frames, f"no result after {allowed:g} s")

    def _beside(self, name: str) -> Path:
        """A working file of this process."""
        return self.out.with_name(f".{self.out.stem}.{os.getpid()}.{name}")

    def _failed(self, verdict: Verdict, frames: int, late: str) -> ProfileRecord:
        return ProfileRecord(
            cell=self.entry.id,
            key=self.entry.key,
            status=verdict.status,
            reason=verdict.reason or late,
            frames=frames,
        )

    def _search(self, limit: int) -> ProfileRecord:
        """The record at the maximum frame count, with all that was tried."""
        found: dict[int, ProfileRecord] = {}

        def fits(frames: int) -> bool:
            if frames not in found:
                found[frames] = self._once(frames, probe=True)
            return found[frames].status == "ok"

        fits(1)
        # Pairwise models take no single image.
        least = 2 if found[1].status == "unsupported" and limit > 1 else 1
        largest = largest_that(fits, limit, PRECISION, least)
        record = found[largest] if largest else found[least]
        record.largest = largest
        record.probes = [self._probe(frames, tried) for frames, tried in found.items()]
        return record

    def _probe(self, frames: int, tried: ProfileRecord) -> Probe:
        return Probe(
            frames=frames,
            status=tried.status,
            reason=tried.reason,
            seconds=tried.seconds[0] if tried.seconds else None,
            bytes=tried.peak_gpu_bytes if self.cuda else tried.peak_rss_bytes,
        )


def largest_that(
    fits: Callable[[int], bool], limit: int, precision: float = 0.0, least: int = 1
) -> int:
    """The largest number from ``least`` to ``limit`` that ``fits``; 0: none.

    What does not fit must not fit again above. Doubles until something does not fit, then bisects
    until the answer is known to a relative ``precision``.
    """
    good = 0
    step = least
    while fits(step):
        good = step
        if good == limit:
            return good
        step = min(2 * step, limit)
    bad = step
    while bad - good > max(1, precision * good):
        middle = (good + bad) // 2
        if fits(middle):
            good = middle
        else:
            bad = middle
    return good
