"""A process that has torch loaded and forks one child per job: small jobs wait for no imports.

``python -m bench3r`` hands the stages in :data:`HANDED` to the server that the environment names,
and runs everything itself when there is none. A job stays a process of its own, with its own files,
environment and limits; when the command that asked for it ends, it is ended. Cost measurements are
never handed over: their memory is that of a fresh process.

The server knows no command: whoever starts it (``bench3r/__main__.py``) tells it what to run.
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench3r.jobs.fork import run_and_end

ADDRESS = "BENCH3R_SERVER"  # environment: the server's socket
SERVE = "serve"  # what ``python -m bench3r`` is told to become the server
HANDED = ("prepare", "predict", "score", "collect")
SOURCES = ("PYTHONPATH", "BENCH3R_ROOT")  # of the code and the plug-ins
DONE = 0  # first byte of an answer; the second is the exit code
NOT_MINE = 1
LENGTH_BYTES = 8  # of a request, before it
STANDARD_FILES = (0, 1, 2)


@dataclass(frozen=True)
class Request:
    """A command as the server is asked to run it."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    python: str  # prefix of the environment that Python runs in


def ask(arguments: list[str]) -> int | None:
    """Exit code of ``bench3r arguments`` as run by the server.

    None when none answers, or when it has other sources loaded.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.environ[ADDRESS])
    except OSError:
        return None
    asked = Request(
        arguments=arguments,
        folder=os.getcwd(),
        environment=dict(os.environ),
        python=sys.prefix,
    )
    answer = _send(connection, json.dumps(asdict(asked)).encode())
    if len(answer) < 2:
        print("error: the job server ended before the job did", file=sys.stderr)
        return 1
    return answer[1] if answer[0] == DONE else None


def _send(connection: socket.socket, request: bytes) -> bytes:
    """The two bytes that the server answers; fewer when it ended."""
    length = len(request).to_bytes(LENGTH_BYTES, "big")
    with connection:
        try:
            socket.send_fds(connection, [length], list(STANDARD_FILES))
            connection.sendall(request)
            return connection.recv(2)
        except OSError:
            return b""


def _receive(connection: socket.socket) -> tuple[Request, list[int]]:
    """A request with the files of who asks.

    Raises EOFError, ValueError or TypeError for a broken one.
    """
    head, files, _, _ = socket.recv_fds(connection, LENGTH_BYTES, len(STANDARD_FILES))
    request = b""
    length = int.from_bytes(head, "big")
    while len(request) < length:
        part = connection.recv(length - len(request))
        if not part:
            raise EOFError
        request += part
    return Request(**json.loads(request)), files


class Server:
    """Accepts requests, forks a child for each, and tells the exit code to whoever asked.

    ``run`` carries out the command in ``sys.argv``.
    """

    def __init__(self, address: str, run: Callable[[], None]) -> None:
        self.run_command = run
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
                    self._answer(selector, key.fileobj)  # type: ignore[arg-type]
                for connection in self._ended():
                    with contextlib.suppress(KeyError):
                        selector.unregister(connection)
                    connection.close()

    def _answer(self, selector: selectors.BaseSelector, source: socket.socket) -> None:
        """A new connection asks for a job; an old one that can be read has ended."""
        if source is not self.listener:
            self._abandon(source)
            selector.unregister(source)
            return
        connection = self._start()
        if connection is not None:
            selector.register(connection, selectors.EVENT_READ)

    def _start(self) -> socket.socket | None:
        """Fork the job that a new connection asks for; None when it is not carried out."""
        connection, _ = self.listener.accept()
        try:
            asked, files = _receive(connection)
        except (OSError, EOFError, ValueError, TypeError):
            connection.close()
            return None
        if not _same_sources(asked):
            connection.sendall(bytes([NOT_MINE, 0]))
            connection.close()
            _close(files)
            return None
        pid = os.fork()
        if pid == 0:
            self.listener.close()
            for other in (connection, *self.jobs.values()):
                other.close()
            run_and_end(lambda: self._carry_out(asked, files))
        _close(files)
        self.jobs[pid] = connection
        return connection

    def _carry_out(self, asked: Request, files: list[int]) -> None:
        """In the child: become the asking process in folder, environment and files, and run."""
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(len(STANDARD_FILES), 64)
        os.chdir(asked.folder)
        os.environ.clear()
        os.environ.update(asked.environment)
        sys.argv = ["bench3r", *asked.arguments]
        self.run_command()

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


def _same_sources(asked: Request) -> bool:
    """Whether who asks would run the same Python and the same code."""
    same = [asked.environment.get(k) == os.environ.get(k) for k in SOURCES]
    return asked.python == sys.prefix and all(same)


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def start() -> subprocess.Popen[bytes] | None:
    """Start a server below this process and name it in the environment.

    None when one is named already. It ends with this process. Jobs that come before it listens run
    by themselves.
    """
    if os.environ.get(ADDRESS):
        return None
    folder = tempfile.mkdtemp(prefix="bench3r-")  # the path of a socket must be short
    os.environ[ADDRESS] = f"{folder}/jobs"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench3r", SERVE, os.environ[ADDRESS]]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet)


def serve(address: str, run: Callable[[], None], preloaded: Sequence[str]) -> None:
    """Load the modules that jobs need, then serve ``run`` at ``address``."""
    for name in preloaded:
        importlib.import_module(name)
    try:
        Server(address, run).run()
    finally:
        with contextlib.suppress(OSError):
            Path(address).unlink()
            Path(address).parent.rmdir()
