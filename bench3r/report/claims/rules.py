"""How a verdict on a claim is computed: one class for each kind of rule in claims.yaml.

Here are those about papers' own numbers and about records under a paper's own conditions;
``rules_here.py`` has those about what happened in a run. Methods, options and claims are named in
claims.yaml alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Number = int | float
OptionValue = int | float | str | bool | None
Options = dict[str, OptionValue | list[Number]]


class Rule(BaseModel):
    """Base of all rules and their parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(Rule):
    """What a paper measured: a method with its options on a backbone.

    ``steps``: of the training that the paper gave it, at least; ``pairs``: global layers of its
    backbone, where a paper used another size than ours; ``lacks``: why it cannot be run here.
    """

    method: str
    backbone: str
    options: Options = {}
    steps: int = 0
    pairs: int | None = None
    lacks: str = ""


class Place(Rule):
    """The conditions under which a paper measured.

    Quality needs the dataset, frames and points; costs need the frames, the image size and the
    class of device. Both need the published scale, the precision and real data.
    """

    dataset: str = ""  # "": not stated
    frames: int = 0  # of a scene; 0: as many as the frame list says
    frame_list: str = ""
    step: int | None = None  # every step-th frame
    scenes: int = 1  # over which the paper averages
    device: str = ""  # class of GPUs, from the ledger's ``devices``
    gpus: int = 1  # that work on one scene
    image: tuple[int, int] | None = None  # height and width
    precision: Literal["fp32", "bf16"] = "bf16"
    points: Literal["", "depth_camera", "point_head"] = ""
    lacks: str = ""  # why no run can be like this


class Measurement(Rule):
    """One number that a paper measured.

    ``quantity``: "time" in seconds, "memory" in bytes, "largest" (the maximum frame count), or
    "protocol/metric"; times ``factor`` in the claim's unit. ``of``: where it is not the rule's.
    """

    place: str
    quantity: str
    factor: float = 1.0
    of: Subject | None = None
    lacks: str = ""  # why no protocol gives it
    at_least: bool = False  # a bound, not a value


class Rounded(Rule):
    """A number that is rounded otherwise than its digits say: 11 minutes as 660 ± 30 seconds."""

    value: Number
    rounding: Number


class Arithmetic(Rule):
    """An operation or relation ``op`` of numbers or claims gives ``expect``.

    Claims are named as "ID" or "ID[place]"; a term may be an operation itself. The rounding of all
    numbers is taken into account, ``within`` is what may be off beyond it. ``expect`` of two
    numbers: a range; ``op`` all: every one of several rules holds; ``op`` range: all numbers lie in
    the range and reach its ends. ``unchecked``: what else is claimed, that no number tells.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    op: str
    of: list[Term]
    expect: bool | Number | str | list[Number] = True
    within: Number = 0
    unchecked: str = ""


Term = Number | str | Rounded | Arithmetic


class PublishedExponent(Rule):
    """FLOPs at published size grow with frames by this exponent."""

    kind: Literal["published_exponent"]
    method: str
    expect: Number
    within: Number


class Measured(Rule):
    """The claim's numbers, each against the records of its conditions.

    ``table``: what the numbers are, in the order of the claim; ``otherwise``: what can be said
    while nothing is measured.
    """

    kind: Literal["measured"]
    table: str
    of: Subject
    otherwise: Arithmetic | PublishedExponent | None = None


class Case(Rule):
    """Two settings that are measured under the same conditions, and the number that differs."""

    place: str
    quantity: str
    of: Subject
    over: Subject


class Ratio(Rule):
    """Of all cases the ratio of ``of`` to ``over`` is ``expect``, or in that range.

    ``at_most``: a bound in its place.
    """

    kind: Literal["ratio"]
    cases: list[Case]
    expect: Number | list[Number] | None = None
    at_most: Number | None = None
    otherwise: Arithmetic | PublishedExponent | None = None


class Ordering(Rule):
    """Under the paper's conditions ``of`` is better than ``over``, scene by scene."""

    kind: Literal["ordering"]
    case: Case


class Knee(Rule):
    """Beyond the value ``at`` of an option the error grows sharply.

    That is: the first value above loses at least ``times`` as much over dense attention as the last
    value up to it.
    """

    kind: Literal["knee"]
    place: str
    quantity: str
    of: Subject
    option: str
    at: Number
    times: Number
    over: Subject


class Trend(Rule):
    """The ratio of ``of`` to ``over`` falls with the frames from case to case."""

    kind: Literal["trend"]
    cases: list[Case]


class Growth(Rule):
    """Measured time at published size grows with frames by this exponent."""

    kind: Literal["growth"]
    of: Subject
    place: str  # its frames are the fewest that count
    expect: Number
    within: Number
    otherwise: PublishedExponent


class LayerRange(Rule):
    """What a method learned of each layer exceeds ``threshold`` in this range of layers alone.

    ``within``: layers by which each end may be off.
    """

    kind: Literal["layer_range"]
    of: list[Subject]
    threshold: Number
    within: int


class RunsOn(Rule):
    """The method finishes on all of these backbones, its error at most ``at_most`` of theirs."""

    kind: Literal["runs_on"]
    cases: list[Case]
    at_most: Number


class Recorded(Rule):
    """A fact that the method records of every scene: its mean is at least, or at most, so much."""

    kind: Literal["recorded"]
    of: Subject
    place: str
    fact: str
    at_least: Number | None = None
    at_most: Number | None = None


class AddedParameters(Rule):
    """Parameters that the method adds to the backbone, in per cent of the backbone's."""

    kind: Literal["added_parameters"]
    cases: list[Case]


class Elsewhere(Rule):
    """Nothing here can judge it: ``why``. ``command``: what measures the same quantity."""

    kind: Literal["elsewhere"]
    why: str
    command: str = ""


class Text(Rule):
    """A contradiction of words."""

    kind: Literal["text"]


PublishedRule = (
    Measured
    | Ratio
    | Ordering
    | Knee
    | Trend
    | Growth
    | LayerRange
    | RunsOn
    | Recorded
    | AddedParameters
)
