"""From images to a reconstruction by a pair network: scene graph, pairs, alignment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.errors import InvalidPrediction, Unsupported
from bench3r.api.method import BuildContext, MethodOptions
from bench3r.api.presentation import Fact, FactColumn, PhaseTable
from bench3r.api.reconstruction import Reconstruction
from bench3r.measure.trackers import MemoryTracker, Timer
from bench3r.models.backbones import load_backbone
from bench3r.models.geometry import rigid_inverse, unproject
from bench3r.models.pair.network import Edge, PairNetwork, PairOutput, PairPass
from bench3r.pairwise.aligned import Aligned, clean
from bench3r.pairwise.alignment import AlignmentOptions, align_two
from bench3r.pairwise.graph import GraphName, edge_count, scene_graph
from bench3r.pairwise.predictions import PairPredictions, connected_parts

PAIRWISE_FACTS = (
    Fact("graph", "which pairs of images the network saw"),
    Fact("edges", "how many ordered pairs that were", "pairs"),
    Fact("alignment", "how point maps of pairs were put together"),
    Fact("alignment_iterations", "steps of the alignment's optimiser", "steps"),
    Fact("alignment_start_loss", "loss of the last stage of the alignment at its start"),
    Fact("alignment_loss", "loss of the last stage of the alignment at its end"),
    Fact("alignment_converged", "whether that loss no longer changed at the end"),
)


PAIRWISE_TABLE = PhaseTable(
    file="pairwise",
    title="Pairwise models: network and alignment",
    phases=("network", "alignment"),
    counted="network",
    before=(
        FactColumn("graph", "graph", how="first"),
        FactColumn("pairs", "edges", how="first", form=".0f"),
    ),
    after=(
        FactColumn(
            "loss after / before",
            "alignment_loss",
            how="ratio",
            over="alignment_start_loss",
            name="loss_change",
        ),
        FactColumn("converged", "alignment_converged", how="count", name="converged"),
    ),
    notes=(
        "One call on an otherwise idle machine, medians. FLOPs are those of the network with every "
        "image encoded once; matching and alignment, whose cost is mostly not in multiply-adds, "
        "are left out of them as in the paper, and are in the time. "
        "Memory is the peak of the process in either phase.",
        "loss after / before: alignment loss of the last stage at its end over its start, "
        "mean over scenes; converged: scenes whose loss no longer changed.",
    ),
)


class PairwiseOptions(MethodOptions):
    """Settings that all pairwise models share."""

    graph: GraphName = Field(
        "complete", description="scene graph: which pairs of images the network sees"
    )
    window: int = Field(
        3, ge=0, description="reach of swin and logwin; the reference image of oneref"
    )
    cyclic: bool = Field(True, description="whether windows go on from the last image to the first")
    min_confidence: float = Field(
        3.0, ge=0, description="of the points from which a missing pose is found"
    )
    clean: bool = Field(
        True, description="no confidence for points that hide what another view sees better"
    )
    least_weight: float = Field(
        0.005, ge=0, description="mean log confidence below which an edge says nothing"
    )

    @model_validator(mode="after")
    def _window_reaches(self) -> PairwiseOptions:
        if self.graph in ("swin", "logwin") and self.window < 1:
            raise ValueError(f"graph {self.graph} needs a window of at least 1, got {self.window}")
        return self


class Phase:
    """Time and peak memory of a part of a prediction."""

    def __init__(self, device: str) -> None:
        self.timer = Timer(device)
        self.memory = MemoryTracker(device)
        self.seconds = float("nan")
        self.peak_bytes = 0
        self._stack = ExitStack()

    def __enter__(self) -> Phase:
        self._stack.enter_context(self.memory)
        self._stack.enter_context(self.timer)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()
        self.seconds = self.timer.seconds
        on_gpu = self.memory.peak_gpu
        self.peak_bytes = self.memory.peak_rss if on_gpu is None else on_gpu


class Disconnected(InvalidPrediction):
    """The images see nothing in common: no single world.

    ``parts``: images of each part and its own world, or why there is none.
    """

    def __init__(self, parts: list[tuple[list[int], Aligned | str]]) -> None:
        self.parts = parts
        each = "; ".join(f"{images}: {_outcome(found)}" for images, found in parts)
        super().__init__(
            f"the images see nothing in common: the scene graph falls into {len(parts)} parts, "
            f"aligned apart ({each})"
        )


def _outcome(found: Aligned | str) -> str:
    if isinstance(found, str):
        return found
    if not found.iterations:
        return "closed form"
    return f"loss {found.loss:.3g} after {found.iterations} iterations"


class PairwisePredictor(ABC):
    """A pair network, a scene graph and an alignment, which subclasses define and name."""

    kind: str  # of the alignment

    def __init__(self, context: BuildContext, options: Any) -> None:
        self.model: PairNetwork = load_backbone(context)
        self.options = options

    @abstractmethod
    def align_many(self, predictions: PairPredictions, pairs: dict[Edge, PairOutput]) -> Aligned:
        """One world from the predictions of a connected graph of at least three images."""

    def edges(self, images: int) -> list[Edge]:
        """The ordered pairs for a scene of ``images`` views.

        Raises Unsupported for a single one.
        """
        if images < 2:
            raise Unsupported("a pairwise model needs at least two images")
        reach = self.options.window
        return scene_graph(images, self.options.graph, reach, self.options.cyclic)

    def counted(self, images: Tensor) -> PairPass:
        """What FLOPs are counted of, given ``images`` [1, S, 3, H, W]: the network on all pairs."""
        return PairPass(self.model, self.edges(int(images.shape[1])))

    def align(self, edges: list[Edge], pairs: Sequence[PairOutput]) -> Aligned:
        """Cameras and depth of all images.

        Raises InvalidPrediction for NaN and for alignments that diverge, Disconnected for a graph
        that falls apart.
        """
        predictions = PairPredictions.of(edges, pairs)
        parts, keep = connected_parts(predictions, self.options.least_weight)
        if len(parts) == 1:
            return self._align_part(predictions, pairs, parts[0], keep)
        found = []
        for part in parts:
            found.append((part, self._attempt(predictions, pairs, part, keep)))
        raise Disconnected(found)

    def _align_part(
        self,
        predictions: PairPredictions,
        pairs: Sequence[PairOutput],
        images: list[int],
        keep: Sequence[bool],
    ) -> Aligned:
        """One world of the connected ``images``, which are numbered anew."""
        number = {image: n for n, image in enumerate(images)}
        kept = {}
        for (i, j), pair, good in zip(predictions.edges, pairs, keep, strict=True):
            if good and i in number:
                kept[number[i], number[j]] = pair
        part = predictions.part(images, keep)
        if len(images) == 2:
            return align_two(part, AlignmentOptions(min_confidence=self.options.min_confidence))
        return self.align_many(part, kept)

    def _attempt(
        self,
        predictions: PairPredictions,
        pairs: Sequence[PairOutput],
        images: list[int],
        keep: Sequence[bool],
    ) -> Aligned | str:
        """The world of a part of a graph that fell apart, or why there is none."""
        if len(images) < 2:
            return "a single image"
        try:
            return self._align_part(predictions, pairs, images, keep)
        except InvalidPrediction as error:
            return str(error)

    def __call__(self, images: Tensor) -> Reconstruction:
        """Images [1, S, 3, H, W] in [0, 1] on the model's device."""
        device = images.device.type
        edges = self.edges(int(images.shape[1]))
        with Phase(device) as network:
            pairs = self.model(images[0], edges)
        with Phase(device) as alignment:
            aligned = self.align(edges, pairs)
            confidence = clean(aligned) if self.options.clean else aligned.confidence
        out = to_reconstruction(aligned, confidence)
        closed = aligned.iterations == 0
        out.facts |= {
            "graph": self.options.graph,
            "edges": len(edges),
            "alignment": "closed form" if closed else self.kind,
            "alignment_iterations": aligned.iterations,
            "alignment_converged": aligned.converged,
            "network_seconds": network.seconds,
            "alignment_seconds": alignment.seconds,
            "network_peak_bytes": network.peak_bytes,
            "alignment_peak_bytes": alignment.peak_bytes,
        }
        stride = getattr(self.options, "stride", 1)  # a labelled option of global alignment
        if not closed:
            out.facts["alignment_stride"] = stride
            out.facts |= {
                "alignment_start_loss": aligned.start_loss,
                "alignment_loss": aligned.loss,
            }
        return out


PER_PAIR = ("decoders", "point_head")  # parts of a network that run once for every ordered pair


def network_cost(dense: BackboneCost, options: PairwiseOptions) -> Cost:
    """MACs of a pair network on the scene of ``dense``, which counts one ordered pair.

    Raises Unsupported for a single image.
    """
    if dense.frames < 2:
        raise Unsupported("a pairwise model needs at least two images")
    edges = edge_count(dense.frames, options.graph, options.window, options.cyclic)
    parts = {k: v * edges if k in PER_PAIR else v for k, v in dense.parts.items()}
    return Cost(parts, f"{edges} ordered pairs; matching and alignment are left out")


def to_reconstruction(aligned: Aligned, confidence: list[Tensor]) -> Reconstruction:
    """A reconstruction of one scene in the frame of its first camera.

    ``confidence`` [H, W] of every image. Raises InvalidPrediction for images of mixed sizes.
    """
    sizes = {tuple(d.shape) for d in aligned.depths}
    if len(sizes) > 1:
        raise InvalidPrediction(f"a reconstruction has images of one size, got {sorted(sizes)}")
    depth = torch.stack(aligned.depths)
    behind = depth <= 0  # of a closed form: points behind the camera
    depth = depth.clamp(min=1e-6)
    conf = torch.where(behind, 0.0, torch.stack(confidence))
    extrinsics = (rigid_inverse(aligned.poses) @ aligned.poses[:1])[:, :3]
    intrinsics = aligned.intrinsics()
    return Reconstruction(
        extrinsics[None],
        intrinsics[None],
        depth[None],
        conf[None],
        unproject(depth, extrinsics, intrinsics)[None],
        conf[None],
    )
