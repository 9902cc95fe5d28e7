"""Predict: the supervisor of a cell. Starts the worker, watches time and memory, and writes the records.

A worker that runs out of memory or time, raises or is killed is a result: the scene gets a typed record and the rest
goes on in a new worker. Only a loss of the infrastructure makes the job fail.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench3r.api.errors import Bench3RError
from bench3r.files import append_jsonl, file_digest, read_json, read_jsonl, write_json, write_jsonl
from bench3r.jobs import server
from bench3r.jobs.watch import START_LIMIT, ended, run_worker
from bench3r.run.plan import Cell, Plan
from bench3r.run.records import LOST_INFRASTRUCTURE, STATUSES, PredictRecord, Status


class Supervisor:
    """Runs one cell to its end."""

    def __init__(
        self, plan_path: Path, plan: Plan, cell: Cell, out: Path, threads: int = 1
    ) -> None:
        self.plan_path, self.cell, self.out, self.threads = plan_path, cell, out, threads
        self.limits = plan.run_config().limits
        self.folder = out.with_suffix("")
        self.progress = self.folder / "progress.jsonl"
        self.weights: list[
            str
        ] = []  # hashes of trained weights that a kept record must have been made with

    def finished(self) -> dict[str, dict[str, Any]]:
        """Records of this cell's key whose prediction is still what was written, by scene."""
        rows = {
            r["scene"]: r
            for r in read_jsonl(self.progress)
            if r.get("key") == self.cell.key and "scene" in r
        }
        return {s: r for s, r in rows.items() if self._intact(r)}

    def _intact(self, row: dict[str, Any]) -> bool:
        if row["status"] != "ok":
            return True
        path = self.folder / str(row["prediction"])
        if not all(h in row["weights"].split("+") for h in self.weights):
            return False
        return path.is_file() and file_digest(path) == row["prediction_sha256"]

    def record(self, scene: str, status: Status, reason: str) -> None:
        """Append a record for a scene that the worker could not record itself."""
        row = PredictRecord(
            cell=self.cell.id, key=self.cell.key, scene=scene, status=status, reason=reason
        )
        append_jsonl(self.progress, row.model_dump(mode="json"))

    def run(self, prepared: Path, base: Path | None, fitted: Path | None) -> list[dict[str, Any]]:
        """Predict every scene of the cell and write the finished records.

        Raises Bench3RError only when the infrastructure is lost.
        """
        items = read_json(prepared)["lists"][str(self.cell.frames)]
        self.weights = [file_digest(p) for p in (base, fitted) if p is not None]
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.cell.unsupported:
            for item in items:
                self.record(item["id"], "unsupported", self.cell.unsupported)
        with self._bar(len(items)) as bar:
            while todo := [i for i in items if i["id"] not in self.finished()]:
                bar.update(bar.task_ids[0], completed=len(items) - len(todo))
                job = {
                    "plan": str(self.plan_path),
                    "cell": self.cell.id,
                    "folder": str(self.folder),
                    "prepared": str(prepared),
                    "items": todo,
                    "threads": self.threads,
                    "base": str(base) if base else None,
                    "fitted": str(fitted) if fitted else None,
                }
                self._one_worker(job, bar)
        done = self.finished()
        rows = [done[i["id"]] for i in items]
        write_jsonl(self.out, rows)
        return rows

    def _bar(self, total: int) -> Progress:
        columns = (
            TextColumn(self.cell.id[:60]),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        bar = Progress(
            *columns, disable=server.forked
        )  # its thread must not be there when the worker is forked
        bar.add_task("predict", total=total)
        return bar

    def _one_worker(self, job: dict[str, Any], bar: Progress) -> None:
        """Start a worker on ``job`` and wait for its end; whatever it leaves open gets a record."""
        for name in ("current", "failed"):
            (self.folder / name).unlink(missing_ok=True)
        write_json(self.folder / "job.json", job)
        before = len(self.finished())
        start, scene = time.monotonic(), self._current()

        def left() -> float:
            nonlocal start, scene
            current = self._current()
            if current != scene:
                scene, start = current, time.monotonic()
                bar.update(bar.task_ids[0], completed=len(read_jsonl(self.progress)))
            return self._allowed(scene) - (time.monotonic() - start)

        code, verdict = run_worker(
            "bench3r.jobs.predict_worker",
            self.folder / "job.json",
            self.folder / "worker.log",
            self.threads,
            self.limits.memory_gb,
            left,
        )
        if verdict and verdict[0] == "timeout":
            verdict = ("timeout", f"no result after {self._allowed(scene):g} s")
        self._settle(code, verdict, job["items"], before)

    def _allowed(self, scene: str | None) -> float:
        """Seconds for ``scene``; for loading the model and the first one before it has begun."""
        return self.limits.seconds_per_scene + (START_LIMIT if scene is None else 0)

    def _current(self) -> str | None:
        with contextlib.suppress(OSError):
            return (self.folder / "current").read_text()
        return None

    def _settle(
        self,
        code: int,
        verdict: tuple[Status, str] | None,
        items: list[dict[str, Any]],
        before: int,
    ) -> None:
        """Record what the worker left open. A worker that never reached a scene fails all of its scenes."""
        if verdict is None and code == 0:
            return
        log = (self.folder / "worker.log").read_text(errors="replace").strip()
        if code == LOST_INFRASTRUCTURE and verdict is None:
            raise Bench3RError(f"{self.cell.id}: the worker lost its disk: {log[-400:]}")
        status, reason = verdict or self._reason(code)
        scene = self._current()
        done = self.finished()
        if scene is not None and scene not in done:
            self.record(scene, status, reason)
        elif scene is None or len(done) == before:
            for item in items:
                if item["id"] not in done:
                    self.record(item["id"], status, reason)

    def _reason(self, code: int) -> tuple[Status, str]:
        with contextlib.suppress(OSError):
            status, _, reason = (self.folder / "failed").read_text().partition("\n")
            return next(s for s in STATUSES if s == status), reason
        return ended(code, self.folder / "worker.log")
