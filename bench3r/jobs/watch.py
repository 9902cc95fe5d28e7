"""Watching a worker process: memory of it and its children, time, and its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench3r.jobs import server
from bench3r.run.records import Status

POLL = 0.1  # seconds
START_LIMIT = 300.0  # seconds a worker may take to load its model, on top of the limit for its work


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for p in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += p.memory_info().rss
    return total


Worker = subprocess.Popen[bytes] | server.Fork


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


def run_worker(
    module: str,
    job: Path,
    log: Path,
    threads: int,
    memory_gb: float,
    allowed: Callable[[], float],
) -> tuple[int, tuple[Status, str] | None]:
    """Run ``python -m module job`` and watch it. Its exit code, and status and reason when it had to be stopped.

    ``allowed`` is asked again and again for the seconds that are left to the worker, and may start them anew; output goes
    to ``log``.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with log.open("wb") as file:
        process: Worker
        if server.forked:  # what the worker imports is here already
            process = server.Fork(module, job, file.fileno(), environment)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(job)], stdout=file, stderr=file, env=environment
            )
        try:
            verdict = _watch(process, memory_gb, allowed)
        finally:
            end(process)
    return process.wait(), verdict


def _watch(
    process: Worker, memory_gb: float, allowed: Callable[[], float]
) -> tuple[Status, str] | None:
    while process.poll() is None:
        time.sleep(POLL)
        used = memory_of(process.pid)
        if used > memory_gb * 1e9:
            return "oom", f"resident memory reached {used / 1e9:.2f} GB, allowed {memory_gb:g} GB"
        if allowed() < 0:
            return "timeout", ""
    return None


def ended(code: int, log: Path) -> tuple[Status, str]:
    """Status and reason of a worker that ended by itself with ``code``, not 0, and left no word of its own."""
    if code == -9:
        return (
            "oom",
            "the worker was killed by signal 9, most likely by the system for lack of memory",
        )
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    return "error", f"the worker ended with code {code}: {last[-300:]}"
