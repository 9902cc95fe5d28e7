"""A process that is forked instead of started, so that it has everything imported already."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

forked = False  # whether this process was forked


def run_and_end(call: Callable[[], int | None]) -> NoReturn:
    """In a forked child: run ``call`` and end with its exit code."""
    global forked
    forked = True
    code = 1
    try:
        code = call() or 0
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exit_code(end: SystemExit) -> int:
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
    return end.code if isinstance(end.code, int) else int(end.code is not None)


class Fork:
    """A child that runs ``module.main(job)``, with what of subprocess.Popen a supervisor needs."""

    def __init__(self, module: str, job: Path, log: int, environment: dict[str, str]) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(environment)
            run_and_end(lambda: importlib.import_module(module).main(job))

    def poll(self) -> int | None:
        """The exit code when the child has ended, negative for a signal."""
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """End the child."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        while self.poll() is None:
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode
