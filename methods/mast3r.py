"""MASt3R (Leroy et al. 2024): DUSt3R with local features, whose matches give the cameras.

Cameras come from the alignment of MASt3R-SfM.
"""

from typing import Any, Literal

from pydantic import Field

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.method import BuildContext, Method
from bench3r.models.pair.network import Edge, PairOutput
from bench3r.pairwise.aligned import Aligned
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.matching import pair_matches
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.predictor import (
    PAIRWISE_FACTS,
    PAIRWISE_TABLE,
    PairwiseOptions,
    PairwisePredictor,
    network_cost,
)
from bench3r.pairwise.sparse_alignment import SparseOptions, sparse_align


class SparseAlignment(PairwisePredictor):
    """Aligns cameras and block depths by the matches of all pairs."""

    def __init__(self, context: BuildContext, options: Any) -> None:
        super().__init__(context, options)
        self.kind = options.alignment

    def align_many(self, predictions: PairPredictions, pairs: dict[Edge, PairOutput]) -> Aligned:
        options = self.options
        if options.alignment == "global":
            return align(predictions, AlignmentOptions(min_confidence=options.min_confidence))
        matches = {}
        for i, j in pairs:
            if i < j and (j, i) in pairs:
                matches[i, j] = pair_matches(pairs[i, j], pairs[j, i], options.step)
        iterations = (options.coarse_iterations, options.fine_iterations)
        settings = SparseOptions(iterations=iterations, trusted=options.trusted)
        return sparse_align(predictions, matches, settings)


class Mast3r(Method):
    """The network on every pair of the scene graph, reciprocal matching, sparse alignment."""

    name = "mast3r"
    label = "MASt3R"
    kind = "model"
    backbones = ("mast3r",)
    source = (
        "Leroy et al., Grounding Image Matching in 3D with MASt3R, 2024; "
        "Duisterhof et al., MASt3R-SfM, 2024"
    )
    facts = PAIRWISE_FACTS
    sections = (PAIRWISE_TABLE,)

    class Options(PairwiseOptions):
        """Matching and alignment."""

        alignment: Literal["sparse", "global"] = Field(
            "sparse", description="by matches, or by all pixels as DUSt3R"
        )
        step: int = Field(8, ge=1, description="pixels between the seeds of matching")
        trusted: float = Field(
            5.0,
            ge=0,
            description="confidence of its best match from which a pair counts as matched",
        )
        coarse_iterations: int = Field(300, ge=0, description="of the first stage, in the world")
        fine_iterations: int = Field(300, ge=0, description="of the second stage, in the images")

    def cost(self, unchanged: BackboneCost) -> Cost:
        return network_cost(unchanged, self.options)

    def build(self, context: BuildContext) -> SparseAlignment:
        return SparseAlignment(context, self.options)
