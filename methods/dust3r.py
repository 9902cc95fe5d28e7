"""DUSt3R (Wang et al. 2024): point maps of image pairs, put together by global alignment."""

from pydantic import Field

from bench3r.api.cost import BackboneCost, Cost
from bench3r.api.method import BuildContext, Method
from bench3r.models.pair.network import Edge, PairOutput
from bench3r.pairwise.aligned import Aligned
from bench3r.pairwise.alignment import AlignmentOptions, align
from bench3r.pairwise.predictions import PairPredictions
from bench3r.pairwise.predictor import (
    PAIRWISE_FACTS,
    PAIRWISE_TABLE,
    PairwiseOptions,
    PairwisePredictor,
    network_cost,
)


class GlobalAlignment(PairwisePredictor):
    """Aligns all pixels of all pairs."""

    kind = "global"

    def align_many(self, predictions: PairPredictions, pairs: dict[Edge, PairOutput]) -> Aligned:
        options = self.options
        settings = AlignmentOptions(
            options.iterations,
            options.lr,
            min_confidence=options.min_confidence,
            stride=options.stride,
        )
        return align(predictions, settings)


class Dust3r(Method):
    """The network on every pair of the scene graph, then global alignment.

    Two images are aligned in closed form.
    """

    name = "dust3r"
    label = "DUSt3R"
    kind = "model"
    backbones = ("dust3r",)
    source = "Wang et al., DUSt3R: Geometric 3D Vision Made Easy, 2024"
    facts = PAIRWISE_FACTS
    sections = (PAIRWISE_TABLE,)

    class Options(PairwiseOptions):
        """Alignment of all pixels."""

        iterations: int = Field(300, ge=0, description="of global alignment")
        lr: float = Field(0.01, gt=0, description="at the start; a cosine takes it to 1e-6")
        stride: int = Field(
            1,
            ge=1,
            description="every stride-th pixel is aligned; above 1 is faster than published",
        )

    def cost(self, unchanged: BackboneCost) -> Cost:
        return network_cost(unchanged, self.options)

    def build(self, context: BuildContext) -> GlobalAlignment:
        return GlobalAlignment(context, self.options)
