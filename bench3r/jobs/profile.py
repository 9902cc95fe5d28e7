"""The supervisor of cost measurements: each in a process of its own, watched; and the search for what still fits.

Running out of memory or time is a result. The measuring itself is :mod:`bench3r.jobs.profile_worker`, which imports torch;
this process does not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench3r.api.errors import Bench3RError
from bench3r.files import read_json, write_json
from bench3r.jobs.watch import START_LIMIT, ended, run_worker
from bench3r.run.plan import Plan, ProfileEntry
from bench3r.run.records import USER_ERROR, ProfileRecord

CALLS = 30  # scenes' worth of time that a measurement of many calls may take
PRECISION = 0.05  # relative width at which the search for the largest frame count ends


class Measurement:
    """One cost measurement of a plan."""

    def __init__(
        self,
        plan_path: Path,
        plan: Plan,
        entry: ProfileEntry,
        out: Path,
        prepared: Path,
        base: Path | None,
        fitted: Path | None,
        threads: int = 1,
    ) -> None:
        self.entry, self.out = entry, out
        self.limits = plan.run_config().limits
        self.cuda = plan.run_config().device == "cuda"
        self.job: dict[str, Any] = {
            "plan": str(plan_path),
            "profile": entry.id,
            "prepared": str(prepared),
            "threads": threads,
            "base": str(base) if base else None,
            "fitted": str(fitted) if fitted else None,
        }

    def run(self) -> ProfileRecord:
        """Measure and write the record. Raises Bench3RError only when the infrastructure is lost."""
        record = self._search(self.entry.largest) if self.entry.largest else self._measure()
        write_json(self.out, record.model_dump(mode="json"))
        return record

    def _measure(self) -> ProfileRecord:
        """Beside the unchanged backbone; without it where the two together need too much."""
        record = self._once(self.entry.frames, probe=False)
        plugin = self.entry.method != self.entry.backbone  # whole models are measured by themselves
        if plugin and record.status in ("oom", "timeout"):
            record = self._once(self.entry.frames, probe=False, alone=True)
        return record

    def _once(self, frames: int, probe: bool, alone: bool = False) -> ProfileRecord:
        """One process. A measurement of many calls may take longer than the limit of a scene, a probe may not."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        job, log, answer = (
            self.out.with_name(f".{self.out.stem}.{os.getpid()}.{n}")
            for n in ("job", "log", "answer")
        )
        write_json(
            job, {**self.job, "frames": frames, "probe": probe, "alone": alone, "out": str(answer)}
        )
        allowed = START_LIMIT + self.limits.seconds_per_scene * (1 if probe else CALLS)
        start = time.monotonic()
        try:
            code, verdict = run_worker(
                "bench3r.jobs.profile_worker",
                job,
                log,
                self.job["threads"],
                self.limits.memory_gb,
                lambda: allowed - (time.monotonic() - start),
            )
            if verdict is None and code == 0:
                return ProfileRecord.model_validate(read_json(answer))
            if code == USER_ERROR and verdict is None:
                raise Bench3RError(log.read_text(errors="replace").strip())
            status, reason = verdict or ended(code, log)
            reason = reason or f"no result after {allowed:g} s"
        finally:
            for file in (job, log, answer):
                file.unlink(missing_ok=True)
        return ProfileRecord(
            cell=self.entry.id, key=self.entry.key, status=status, reason=reason, frames=frames
        )

    def _search(self, limit: int) -> ProfileRecord:
        """The record at the largest frame count that fits, with all that was tried."""
        found: dict[int, ProfileRecord] = {}

        def fits(frames: int) -> bool:
            if frames not in found:
                found[frames] = self._once(frames, probe=True)
            return found[frames].status == "ok"

        fits(1)
        least = (
            2 if found[1].status == "unsupported" and limit > 1 else 1
        )  # pairwise models know no single image
        largest = largest_that(fits, limit, PRECISION, least)
        record = found[largest] if largest else found[least]
        record.largest = largest
        record.probes = [
            {
                "frames": n,
                "status": r.status,
                "reason": r.reason,
                "seconds": r.seconds[0] if r.seconds else None,
                "bytes": r.peak_gpu_bytes if self.cuda else r.peak_rss_bytes,
            }
            for n, r in found.items()
        ]
        return record


def largest_that(
    fits: Callable[[int], bool], limit: int, precision: float = 0.0, least: int = 1
) -> int:
    """The largest number from ``least`` to ``limit`` that ``fits``, which must not fit again once it does not; 0: none.

    Doubles until something does not fit, then bisects until the answer is known to a relative ``precision``.
    """
    good, step = 0, least
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
