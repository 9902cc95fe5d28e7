"""How a verdict on a claim is computed: one class for each kind of rule in claims.yaml.

Methods, options and claims are named in that file alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = int | float
Options = dict[str, int | float | str | bool | None]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arithmetic(_Rule):
    """An operation or relation ``op`` of numbers or claims gives ``expect``.

    Claims are named as "ID" or "ID[place]". ``within``: how far it may be off; ``expect`` of two
    numbers: a range; ``op`` all: every one of several rules holds.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    op: str
    of: list[Number | str] | list[Arithmetic]
    expect: bool | Number | str | list[Number]
    within: Number


class Direction(_Rule):
    """The method is better (or worse) than the reference here, as it is in the paper.

    ``against``: the claim that holds the reference's number.
    """

    kind: Literal["direction"]
    metric: str
    method: str
    options: Options = {}
    against: str


class DirectionOptions(_Rule):
    """The method's ``first`` options are better than its ``second``."""

    kind: Literal["direction_options"]
    metric: str
    method: str
    first: Options
    second: Options
    better: Literal["first"] = "first"


class BestOption(_Rule):
    """The value ``expect`` of an option has the best mean."""

    kind: Literal["best_option"]
    metric: str
    method: str
    option: str
    expect: Number


class DepthShare(_Rule):
    """The share of patches at a recursion depth is near the claimed value, in per cent."""

    kind: Literal["depth_share"]
    method: str
    scene_type: str
    depth: int


class DeeperOn(_Rule):
    """The share of patches at ``depths`` grows over scene types in the given order."""

    kind: Literal["deeper_on"]
    method: str
    order: list[str]
    depths: list[int]


class NoSteps(_Rule):
    """Recursion depths of neighbouring patches never differ by more than one."""

    kind: Literal["no_steps"]
    method: str


class PublishedExponent(_Rule):
    """FLOPs at published size grow with frames by this exponent."""

    kind: Literal["published_exponent"]
    method: str
    expect: Number
    within: Number


class Elsewhere(_Rule):
    """Nothing here can judge it; ``command`` would."""

    kind: Literal["elsewhere"]
    command: str


class Text(_Rule):
    """A contradiction of words."""

    kind: Literal["text"]


MeasuredRule = (
    Direction | DirectionOptions | BestOption | DepthShare | DeeperOn | NoSteps | PublishedExponent
)
ClaimRule = Annotated[Arithmetic | MeasuredRule | Elsewhere, Field(discriminator="kind")]
ContradictionRule = Annotated[Arithmetic | Text, Field(discriminator="kind")]
