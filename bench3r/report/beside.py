"""Figures drawn in processes of their own, while this one makes tables."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized

from bench3r.api.errors import Bench3RError
from bench3r.report.section import Canvas, Figure, Section

CAN_FORK = sys.platform == "linux"  # elsewhere a child would have to load everything again
PROCESSES = 2  # a few sections have most of the figures, so that more would wait for one of them

Drawn = dict[int, list[Figure]]  # by place of the section


@contextmanager
def drawn_beside(
    sections: Sequence[Section], canvas: Canvas
) -> Iterator[Callable[[], list[Figure]]]:
    """Begin to draw the figures of ``sections``; what is given waits for them and returns them.

    An error of a figure is raised there as it was. Raises Bench3RError there when a process was
    killed.
    """
    if not CAN_FORK:
        yield lambda: [figure for section in sections for figure in section.draw(canvas)]
        return
    context = multiprocessing.get_context("fork")
    turn = context.Value("i", 0)
    pipes = [context.Pipe(duplex=False) for _ in range(PROCESSES)]
    children = []
    for _, sender in pipes:
        arguments = (sections, canvas, turn, sender)
        children.append(context.Process(target=_draw, args=arguments, daemon=True))
        children[-1].start()
    for _, sender in pipes:
        sender.close()
    try:
        yield lambda: _in_order([_received(receiver) for receiver, _ in pipes])
    finally:
        for child in children:
            child.terminate()
            child.join()
        for receiver, _ in pipes:
            receiver.close()


def _draw(
    sections: Sequence[Section], canvas: Canvas, turn: Synchronized[int], sender: Connection
) -> None:
    """Send the figures of the sections that no other process took, or the error of one."""
    found: Drawn = {}
    try:
        queue = _queue(len(sections))
        while (taken := _next(turn)) < len(queue):
            place = queue[taken]
            found[place] = sections[place].draw(canvas)
        sender.send(found)
    except Exception as error:
        sender.send(error)


def _queue(count: int) -> list[int]:
    """Places in the order in which they are taken: from both ends to the middle.

    The first and the last sections have most figures; a long one taken last would be waited for.
    """
    return sorted(range(count), key=lambda place: min(place, count - 1 - place))


def _next(turn: Synchronized[int]) -> int:
    """The place of the next section that nobody has taken."""
    with turn.get_lock():
        turn.value += 1
        return turn.value - 1


def _received(receiver: Connection) -> Drawn:
    """What :func:`_draw` sent."""
    try:
        found = receiver.recv()
    except EOFError:
        raise Bench3RError("a process that draws figures was killed") from None
    if isinstance(found, Exception):
        raise found
    drawn: Drawn = found
    return drawn


def _in_order(parts: list[Drawn]) -> list[Figure]:
    """The figures of all sections, in their order."""
    drawn: Drawn = {}
    for part in parts:
        drawn |= part
    return [figure for place in sorted(drawn) for figure in drawn[place]]
