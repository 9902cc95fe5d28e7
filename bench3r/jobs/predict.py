"""Predict: the supervisor of a cell. Starts the worker, watches it, and writes the records.

A worker that runs out of memory or time, raises or is killed is a result: the scene gets a typed
record and the rest goes on in a new worker. Only a loss of the infrastructure makes the job fail.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench3r.api.errors import Bench3RError
from bench3r.data.prepared import SceneItem, read_prepared
from bench3r.files import append_jsonl, file_digest, read_jsonl, write_jsonl
from bench3r.jobs import fork
from bench3r.jobs.tasks import PredictTask, write_task
from bench3r.jobs.watch import START_LIMIT, End, Verdict, Work, ended, run_worker
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import LOST_INFRASTRUCTURE, STATUSES, PredictRecord, Status, read_records

WORKER = "bench3r.jobs.predict_worker"


class Supervisor:
    """Runs one cell to its end."""

    def __init__(
        self, plan_path: Path, plan: Plan, cell: Cell, out: Path, threads: int = 1
    ) -> None:
        self.plan_path = plan_path
        self.cell = cell
        self.out = out
        self.threads = threads
        self.limits = plan.config.limits
        self.folder = out.with_suffix("")
        self.progress = self.folder / "progress.jsonl"
        # Hashes of trained weights that a kept record must have been made with.
        self.weights: list[str] = []

    def finished(self) -> dict[str, PredictRecord]:
        """Records of this cell's key by scene, whose prediction is still what was written."""
        last: dict[str, PredictRecord] = {}
        for row in read_records(self.progress, PredictRecord):
            if row.key == self.cell.key:
                last[row.scene] = row
        return {scene: row for scene, row in last.items() if self._intact(row)}

    def _intact(self, row: PredictRecord) -> bool:
        if row.status != "ok":
            return True
        path = self.folder / str(row.prediction)
        if not all(h in row.weights.split("+") for h in self.weights):
            return False
        return path.is_file() and file_digest(path) == row.prediction_sha256

    def record(self, scene: str, status: Status, reason: str) -> None:
        """Append a record for a scene that the worker could not record itself."""
        row = PredictRecord(
            cell=self.cell.id, key=self.cell.key, scene=scene, status=status, reason=reason
        )
        append_jsonl(self.progress, row.model_dump(mode="json"))

    def run(self, prepared: Path, base: Path | None, fitted: Path | None) -> list[PredictRecord]:
        """Predict every scene of the cell and write the finished records.

        Raises Bench3RError only when the infrastructure is lost.
        """
        items = read_prepared(prepared).items(self.cell.frames)
        self.weights = [file_digest(p) for p in (base, fitted) if p is not None]
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.cell.unsupported:
            for item in items:
                self.record(item.id, "unsupported", self.cell.unsupported)
        task = PredictTask(
            plan=self.plan_path,
            prepared=prepared,
            base=base,
            fitted=fitted,
            cell=self.cell.id,
            folder=self.folder,
            items=[],
            threads=self.threads,
        )
        with self._bar(len(items)) as bar:
            while todo := [i for i in items if i.id not in self.finished()]:
                bar.update(bar.task_ids[0], completed=len(items) - len(todo))
                self._one_worker(task.model_copy(update={"items": todo}), bar)
        done = self.finished()
        rows = [done[i.id] for i in items]
        write_jsonl(self.out, (row.model_dump(mode="json") for row in rows))
        return rows

    def _bar(self, total: int) -> Progress:
        """A bar whose thread is not there when a worker is forked."""
        title = TextColumn(self.cell.id[:60])
        columns = (title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bar = Progress(*columns, disable=fork.forked)
        bar.add_task("predict", total=total)
        return bar

    def _one_worker(self, task: PredictTask, bar: Progress) -> None:
        """Start a worker on ``task`` and wait for its end; what it leaves open gets a record."""
        for name in ("current", "failed"):
            (self.folder / name).unlink(missing_ok=True)
        file = self.folder / "job.json"
        write_task(file, task)
        before = len(self.finished())
        start = time.monotonic()
        scene = self._current()

        def left() -> float:
            nonlocal start, scene
            current = self._current()
            if current != scene:
                scene = current
                start = time.monotonic()
                bar.update(bar.task_ids[0], completed=len(read_jsonl(self.progress)))
            return self._allowed(scene) - (time.monotonic() - start)

        log = self.folder / "worker.log"
        work = Work(WORKER, file, log, self.threads, self.limits.memory_gb)
        end = run_worker(work, left)
        if end.verdict and end.verdict.status == "timeout":
            late = Verdict("timeout", f"no result after {self._allowed(scene):g} s")
            end = End(end.code, late)
        self._close(end, task.items, before)

    def _allowed(self, scene: str | None) -> float:
        """Seconds for ``scene``; for the model and the first one before it has begun."""
        return self.limits.seconds_per_scene + (START_LIMIT if scene is None else 0)

    def _current(self) -> str | None:
        with contextlib.suppress(OSError):
            return (self.folder / "current").read_text()
        return None

    def _close(self, end: End, items: list[SceneItem], before: int) -> None:
        """Record what the worker left open.

        A worker that never reached a scene fails all of its scenes.
        """
        if end.verdict is None and end.code == 0:
            return
        log = (self.folder / "worker.log").read_text(errors="replace").strip()
        if end.code == LOST_INFRASTRUCTURE and end.verdict is None:
            raise Bench3RError(f"{self.cell.id}: the worker lost its disk: {log[-400:]}")
        status, reason = end.verdict or self._reason(end.code)
        scene = self._current()
        done = self.finished()
        if scene is not None and scene not in done:
            self.record(scene, status, reason)
        elif scene is None or len(done) == before:
            for item in items:
                if item.id not in done:
                    self.record(item.id, status, reason)

    def _reason(self, code: int) -> Verdict:
        with contextlib.suppress(OSError):
            status, _, reason = (self.folder / "failed").read_text().partition("\n")
            return Verdict(next(s for s in STATUSES if s == status), reason)
        return ended(code, self.folder / "worker.log")
