"""A process that has torch loaded and forks one child per job, so that small jobs do not wait for imports.

``python -m bench3r`` hands the stages in :data:`HANDED` to the server that the environment names, and runs everything itself
when there is none. A job stays a process of its own, with its own files, environment and limits; when the command that
asked for it ends, it is ended. Cost measurements are never handed over: their memory is that of a fresh process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ADDRESS = "BENCH3R_SERVER"  # environment: the server's socket
HANDED = ("prepare", "predict", "score", "collect")
SOURCES = ("PYTHONPATH", "BENCH3R_ROOT")  # of the code and the plug-ins
DONE, NOT_MINE = 0, 1  # first byte of an answer; the second is the exit code
PAYS = 12  # cells from which on starting a server (three seconds) pays
PRELOADED = (
    "torch",
    "scipy.spatial",
    "pandas",
    "pyarrow.parquet",
    "bench3r.cli",
    "bench3r.stages.prepare",
    "bench3r.jobs.predict",
    "bench3r.jobs.predict_worker",
    "bench3r.stages.score",
    "bench3r.stages.collect",
    "bench3r.models.vggt.network",
    "bench3r.data.reprojection",
)
forked = False  # whether this process is a job of a server


def ask(arguments: list[str]) -> int | None:
    """Exit code of ``bench3r arguments`` as run by the server; None when none answers, or it has other sources loaded."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.environ[ADDRESS])
    except OSError:
        return None
    request = json.dumps(
        {
            "arguments": arguments,
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "python": sys.prefix,
        }
    ).encode()
    with connection:
        try:
            socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
            connection.sendall(request)
            answer = connection.recv(2)
        except OSError:
            answer = b""
    if len(answer) < 2:
        print("error: the job server ended before the job did", file=sys.stderr)
        return 1
    return answer[1] if answer[0] == DONE else None


class Server:
    """Accepts requests, forks a child for each, and tells the exit code to whoever asked."""

    def __init__(self, address: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(address)
        os.chmod(address, 0o600)  # a job runs as whoever owns the server
        self.listener.listen(128)
        self.jobs: dict[int, socket.socket] = {}  # process number -> who asked

    def run(self) -> None:
        """Serve until the process that started the server is gone."""
        parent = os.getppid()
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while os.getppid() == parent:
                for key, _ in selector.select(timeout=0.02 if self.jobs else 0.5):
                    if key.fileobj is self.listener:
                        connection = self._start()
                        if connection is not None:
                            selector.register(connection, selectors.EVENT_READ)
                    else:  # whoever asked is gone
                        self._abandon(key.fileobj)  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)
                for connection in self._ended():
                    with contextlib.suppress(KeyError):
                        selector.unregister(connection)
                    connection.close()

    def _start(self) -> socket.socket | None:
        """Fork the job that a new connection asks for."""
        connection, _ = self.listener.accept()
        try:
            head, files, _, _ = socket.recv_fds(connection, 8, 3)
            request, length = b"", int.from_bytes(head, "big")
            while len(request) < length:
                part = connection.recv(length - len(request))
                if not part:
                    raise EOFError
                request += part
            asked = json.loads(request)
        except (OSError, EOFError, ValueError):
            connection.close()
            return None
        if asked["python"] != sys.prefix or any(
            asked["environment"].get(k) != os.environ.get(k) for k in SOURCES
        ):
            connection.sendall(bytes([NOT_MINE, 0]))
            connection.close()
            for file in files:
                os.close(file)
            return None
        pid = os.fork()
        if pid == 0:
            self.listener.close()
            for other in (connection, *self.jobs.values()):
                other.close()
            _child(lambda: _command(asked, files))
        for file in files:
            os.close(file)
        self.jobs[pid] = connection
        return connection

    def _abandon(self, connection: socket.socket) -> None:
        for pid, asker in self.jobs.items():
            if asker is connection:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)

    def _ended(self) -> list[socket.socket]:
        """Connections of the jobs that are over, after they were told the exit code."""
        over = []
        for pid in list(self.jobs):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                connection = self.jobs.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(OSError):
                    connection.sendall(bytes([DONE, code if code >= 0 else 128 - code]))
                over.append(connection)
        return over


def _command(asked: dict, files: list[int]) -> None:
    """In the child: become the asking process in folder, environment and files, and run its command."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 64)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["bench3r", *asked["arguments"]]
    from bench3r.cli import main

    main()


def _child(call: Callable[[], int | None]) -> None:
    """In a forked child: run ``call`` and end with its exit code; never return."""
    global forked
    forked = True
    code = 1
    try:
        code = call() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class Fork:
    """A child that runs ``module.main(job)``, with what of subprocess.Popen its supervisor needs."""

    def __init__(self, module: str, job: Path, log: int, environment: dict[str, str]) -> None:
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(environment)
            _child(lambda: importlib.import_module(module).main(job))

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


def start() -> subprocess.Popen[bytes] | None:
    """Start a server below this process and name it in the environment; None when one is named already.

    It ends with this process. Jobs that come before it listens run by themselves.
    """
    if os.environ.get(ADDRESS):
        return None
    folder = tempfile.mkdtemp(prefix="bench3r-")  # sockets want a short path
    os.environ[ADDRESS] = f"{folder}/jobs"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench3r.jobs.server", os.environ[ADDRESS]]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def main(address: str) -> None:
    """Load what jobs need, then serve."""
    for name in PRELOADED:
        importlib.import_module(name)
    try:
        Server(address).run()
    finally:
        with contextlib.suppress(OSError):
            Path(address).unlink()
            Path(address).parent.rmdir()


if __name__ == "__main__":
    from bench3r.jobs import server

    server.main(sys.argv[1])
