"""Rules about what happened in a run, at its scale and on its data: one class for each kind."""

from __future__ import annotations

from typing import Literal

from bench3r.report.claims.rules import Number, Options, PublishedExponent, Rule


class Choice(Rule):
    """A method with options; those that are not named are at their defaults."""

    method: str
    options: Options = {}


class Direction(Rule):
    """The method is better (or worse) than the reference here, as it is in the paper.

    ``against``: the claim that holds the reference's number.
    """

    kind: Literal["direction"]
    metric: str
    method: str
    options: Options = {}
    against: str


class Compared(Rule):
    """The ``first`` choice is better than the ``second``.

    ``loss``: what the choices weigh differently, a column of the training curve of the first. Where
    it was zero all the time there is nothing to compare.
    """

    kind: Literal["compared"] = "compared"
    metric: str
    first: Choice
    second: Choice
    loss: str = ""


class Level(Rule):
    """The mean of a metric over scenes is above a number."""

    kind: Literal["level"] = "level"
    metric: str
    of: Choice
    above: Number


class Every(Rule):
    """All parts hold."""

    kind: Literal["every"]
    parts: list[Compared | Level]


class BestOption(Rule):
    """The value ``expect`` of an option is better than every other one."""

    kind: Literal["best_option"]
    metric: str
    method: str
    option: str
    expect: Number


class DepthShare(Rule):
    """The share of patches at a recursion depth is near the claimed value, in per cent."""

    kind: Literal["depth_share"]
    method: str
    scene_type: str
    depth: int


class DeeperOn(Rule):
    """The share of patches at ``depths`` grows over scene types in the given order."""

    kind: Literal["deeper_on"]
    method: str
    order: list[str]
    depths: list[int]


class NoSteps(Rule):
    """The chosen recursion depths of neighbouring patches never differ by more than one.

    ``chosen``: the fact that holds the share of those that do, of the router's own choice; what a
    method makes smooth afterwards never has any.
    """

    kind: Literal["no_steps"]
    method: str
    chosen: str


class Collapse(Rule):
    """Without a term of the loss all but a few patches stop at ``depth``.

    ``without``: the options that leave the term out; ``at_least``: the share of patches that
    counts as a collapse, in per cent. ``command``: what measures it.
    """

    kind: Literal["collapse"]
    method: str
    without: Options
    depth: int
    at_least: Number
    command: str


HereRule = (
    Direction
    | Compared
    | Every
    | BestOption
    | DepthShare
    | DeeperOn
    | NoSteps
    | Collapse
    | PublishedExponent
)
