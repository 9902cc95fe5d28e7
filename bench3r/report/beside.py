"""Figures drawn in a process of their own, while this one makes tables."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from bench3r.api.errors import Bench3RError
from bench3r.report.section import Canvas, Figure, Section

CAN_FORK = sys.platform == "linux"  # elsewhere a child would have to load everything again


@contextmanager
def drawn_beside(
    sections: Sequence[Section], canvas: Canvas
) -> Iterator[Callable[[], list[Figure]]]:
    """Begin to draw the figures of ``sections``; what is given waits for them and returns them.

    An error of a figure is raised there as it was. Raises Bench3RError there when the process was
    killed.
    """
    if not CAN_FORK:
        yield lambda: draw_all(sections, canvas)
        return
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_draw, args=(sections, canvas, sender), daemon=True)
    child.start()
    sender.close()
    try:
        yield lambda: _received(receiver)
    finally:
        child.terminate()
        child.join()
        receiver.close()


def draw_all(sections: Sequence[Section], canvas: Canvas) -> list[Figure]:
    """The figures of all ``sections``, in their order."""
    return [figure for section in sections for figure in section.draw(canvas)]


def _draw(sections: Sequence[Section], canvas: Canvas, sender: Connection) -> None:
    """Send the figures, or the error of one, to the process that waits."""
    try:
        sender.send(draw_all(sections, canvas))
    except Exception as error:
        sender.send(error)


def _received(receiver: Connection) -> list[Figure]:
    """What :func:`_draw` sent."""
    try:
        found = receiver.recv()
    except EOFError:
        raise Bench3RError("the process that draws the figures was killed") from None
    if isinstance(found, Exception):
        raise found
    figures: list[Figure] = found
    return figures
