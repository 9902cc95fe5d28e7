"""Watching a worker process: memory of it and its children, time, and its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from bench3r.jobs import fork
from bench3r.run.records import Status

POLL = 0.1  # seconds
START_LIMIT = 300.0  # seconds to load a model, on top of the limit for the work
KILLED = "the worker was killed by signal 9, most likely by the system for lack of memory"

Worker = subprocess.Popen[bytes] | fork.Fork


class Verdict(NamedTuple):
    """Why a worker had to be stopped, or how it failed."""

    status: Status
    reason: str


class End(NamedTuple):
    """How a worker ended: its exit code, and why it was stopped, if it was."""

    code: int
    verdict: Verdict | None


@dataclass(frozen=True)
class Work:
    """``python -m module task`` with its output in ``log``, and what it may use."""

    module: str
    task: Path
    log: Path
    threads: int
    memory_gb: float


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for p in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += p.memory_info().rss
    return total


def end(process: Worker) -> None:
    """End a worker and its children, if it still runs."""
    if process.poll() is not None:
        return
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    process.kill()
    process.wait()


def run_worker(work: Work, allowed: Callable[[], float]) -> End:
    """Run a worker and watch it.

    ``allowed`` is asked again and again for the seconds that are left to it, and may start them
    anew.
    """
    threads = str(work.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with work.log.open("wb") as file:
        process: Worker
        if fork.forked:  # what the worker imports is here already
            process = fork.Fork(work.module, work.task, file.fileno(), environment)
        else:
            command = [sys.executable, "-m", work.module, str(work.task)]
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            verdict = _watch(process, work.memory_gb, allowed)
        finally:
            end(process)
    return End(process.wait(), verdict)


def _watch(process: Worker, memory_gb: float, allowed: Callable[[], float]) -> Verdict | None:
    while process.poll() is None:
        time.sleep(POLL)
        used = memory_of(process.pid)
        if used > memory_gb * 1e9:
            reached = f"resident memory reached {used / 1e9:.2f} GB, allowed {memory_gb:g} GB"
            return Verdict("oom", reached)
        if allowed() < 0:
            return Verdict("timeout", "")
    return None


def ended(code: int, log: Path) -> Verdict:
    """Of a worker that ended by itself with ``code``, not 0, and left no word of its own."""
    if code == -9:
        return Verdict("oom", KILLED)
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    return Verdict("error", f"the worker ended with code {code}: {last[-300:]}")
