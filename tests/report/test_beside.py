"""Figures drawn beside tables: in their order, with their errors, and never left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.report import beside
from bench3r.report.beside import drawn_beside
from bench3r.report.section import Figure, Section


def section(name: str, figures) -> Section:
    """A section of figures alone."""
    return Section(name, 1, figures=figures)


def caption_of_process(_canvas):
    """A figure whose caption is the process that drew it."""
    yield Figure(str(os.getpid()), None, says_why=True)


def fails(_canvas):
    """A section that cannot be drawn."""
    raise Bench3RError("no ink")


def is_killed(_canvas):
    """A section during which the process is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


CANVAS = SimpleNamespace()


def test_figures_come_in_order_from_another_process():
    sections = [section("a", caption_of_process), section("b", None)]
    sections.append(section("c", lambda canvas: [Figure("last", None, says_why=True)]))
    with drawn_beside(sections, CANVAS) as figures:
        captions = [figure.caption for figure in figures()]
    assert captions[1] == "last"
    assert captions[0] != str(os.getpid())


def test_where_forks_are_not_safe_this_process_draws(monkeypatch):
    monkeypatch.setattr(beside, "CAN_FORK", False)
    with drawn_beside([section("a", caption_of_process)], CANVAS) as figures:
        assert [figure.caption for figure in figures()] == [str(os.getpid())]


def test_an_error_of_a_figure_is_raised_as_it_was():
    drawing = drawn_beside([section("a", fails)], CANVAS)
    with drawing as figures, pytest.raises(Bench3RError, match="no ink"):
        figures()


def test_a_killed_process_is_said():
    drawing = drawn_beside([section("a", is_killed)], CANVAS)
    with drawing as figures, pytest.raises(Bench3RError, match="was killed"):
        figures()


def test_an_error_of_a_table_leaves_no_process_behind():
    waiting = drawn_beside([section("a", lambda canvas: signal.pause())], CANVAS)
    with pytest.raises(ValueError, match="a table"), waiting:
        raise ValueError("a table")
    assert multiprocessing.active_children() == []
