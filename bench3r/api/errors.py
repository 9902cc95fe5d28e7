"""One kind of error for everything a user can put right, and the hints that go with it.

Imports nothing of Bench3R, so that even the room of files can raise it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class Bench3RError(Exception):
    """Bad input or a broken precondition.

    The message names the file, key or tensor and what was expected.
    """


class InvalidPrediction(Bench3RError):
    """A model's output is no reconstruction: NaN, wrong shape, degenerate. Status ``invalid``."""


class Unsupported(Bench3RError):
    """A method cannot run on this backbone, scale or device. Status ``unsupported``."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the closest of ``known``, or an empty string."""
    close = difflib.get_close_matches(str(word), map(str, known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown(kind: str, word: str, known: Iterable[str], where: str = "") -> Bench3RError:
    """Error for an unknown name: what it was, the closest known one, and all known ones."""
    names = sorted(map(str, known))
    prefix = f"{where}: " if where else ""
    hint = did_you_mean(word, names)
    return Bench3RError(
        f"{prefix}unknown {kind} {word!r}{hint}; known: {', '.join(names) or 'none'}"
    )


def describe(error: ValidationError, where: str, known: Iterable[str] = ()) -> Bench3RError:
    """A pydantic error as one message: each problem with its key, the value given, the expected."""
    lines = []
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"])) or "(whole)"
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(str(problem["loc"][-1]), known)
            lines.append(f"unknown key {key!r}{hint}")
            continue
        text = problem["msg"]
        given = "" if problem["type"] == "missing" else f", got {problem['input']!r}"
        lines.append(f"{key}: {text[0].lower()}{text[1:]}{given}")
    return Bench3RError(f"{where}: " + "; ".join(lines))
