"""Chromium without a window, driven by its debugging protocol over two pipes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
# what counts as typing a key: its code, and the text of those that have one
CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40, "Home": 36}
TEXTS = {"Enter": "\r"}


class Chromium:
    """One page in a browser of its own; ``problems`` are errors that its console told."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        ours, theirs = os.pipe(), os.pipe()
        # the protocol is spoken on the descriptors 3 and 4
        shell = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        command = ["bash", "-c", shell, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            command, pass_fds=(ours[0], theirs[1]), stderr=subprocess.DEVNULL
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to = os.fdopen(ours[1], "wb")
        self._from = os.fdopen(theirs[0], "rb")
        self._buffer = b""
        self._count = 0
        self._session = ""
        self._loaded = False
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._to.close()
        self._process.terminate()
        self._process.wait(30)
        self._from.close()

    def call(self, method: str, **parameters: object) -> dict:
        """The answer to one command of the protocol."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self) -> dict:
        while b"\0" not in self._buffer:
            read = os.read(self._from.fileno(), 1 << 20)
            assert read, "Chromium has ended"
            self._buffer += read
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict) -> None:
        """Keep what an event says of errors, and that the page is loaded."""
        name = message.get("method")
        found = message.get("params", {})
        if name == "Page.loadEventFired":
            self._loaded = True
        if name == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(found["exceptionDetails"]))
        if name == "Runtime.consoleAPICalled" and found["type"] == "error":
            self.problems.append(json.dumps(found["args"]))
        if name == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.problems.append(found["entry"]["text"])

    def open(self, page: Path) -> None:
        """Load a file, and wait until it is there."""
        self._loaded = False
        self.call("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._next()

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window a size in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str = "light", medium: str = "screen") -> None:
        """Prefer ``scheme`` ("light", "dark"), on ``medium`` ("screen", "print")."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)

    def run(self, script: str) -> object:
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Type one key where the focus is."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": CODES[key]}
        text = {"text": TEXTS[key]} if key in TEXTS else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def shoot(self, out: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the ``whole`` page, to a PNG file."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        out.write_bytes(base64.b64decode(shot["data"]))
