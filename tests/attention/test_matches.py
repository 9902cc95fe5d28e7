"""How alike tokens of different views are, on planted ones."""

from __future__ import annotations

import pytest
import torch

from bench3r.api.method import METHODS, BuildContext
from bench3r.attention import matches
from bench3r.attention.matches import MatchWatch, matches_elsewhere
from bench3r.models.layers import SoftmaxCore, TokenLayout
from bench3r.models.weights import SHIPPED
from tests.helpers.gpu_free.device import PretendCuda

VIEWS = 30
LAYOUT = TokenLayout(1, VIEWS, 1, 2, 2)  # one special token and four patches a view


def planted(reach: int, lonely: int = 0) -> torch.Tensor:
    """Keys [1, 2, L, 32]: each patch has a twin ``reach`` views away, but for ``lonely`` views."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(VIEWS, 4, 64, generator=generator)
    for view in range(VIEWS - reach):
        if (view // reach) % 2 == 0:
            one[view + reach] = one[view]
    one[:lonely] = torch.randn(lonely, 4, 64, generator=generator)
    special = torch.ones(VIEWS, 1, 64)  # all alike: not looked at
    keys = torch.cat([special, one], 1).flatten(0, 1)
    return keys.unflatten(-1, (2, 32)).transpose(0, 1)[None]


@pytest.mark.parametrize("chunk", [7, 1 << 16])
def test_the_most_similar_token_of_another_view_is_found(monkeypatch, chunk):
    monkeypatch.setattr(matches, "CANDIDATES", chunk)
    generator = torch.Generator().manual_seed(0)
    metric = torch.randn(40, 8, generator=generator)
    views = torch.arange(40) // 10
    metric[31] = 3 * metric[2]  # the same direction, three views on
    metric[5] = metric[2]  # in its own view
    found = matches_elsewhere(metric, torch.tensor([2, 31]), torch.arange(40), views)
    assert found.frames.tolist() == [3, 3]
    torch.testing.assert_close(found.cosine, torch.ones(2))
    alone = matches_elsewhere(metric, torch.tensor([2]), torch.arange(10), views)
    assert len(alone.cosine) == 0, "no candidate in another view"


class Model(torch.nn.Module):
    """A model of one global attention core."""

    def __init__(self, monkeypatch) -> None:
        super().__init__()
        self.core = SoftmaxCore()
        monkeypatch.setattr(matches, "attention_modules", lambda model, role: [("a", model)])

    def forward(self, k):
        return self.core(k, k, k, LAYOUT)


@pytest.mark.parametrize("reach", [1, 3])
def test_watching_a_model_tells_reach_and_likeness(monkeypatch, reach):
    watch = MatchWatch(lambda core, layout, device: None)
    model = Model(monkeypatch)
    with watch.over(model):
        model(planted(reach))
    model(planted(reach))
    assert len(watch.keys) == 1, "nothing is noted afterwards"
    frames = torch.cat([found.frames for found in watch.queries])
    assert frames.unique().tolist() == [reach]
    assert watch.almost_all() == (pytest.approx(1, abs=1e-5), reach)
    with watch.over(model):
        model(planted(reach, lonely=6))
    found = watch.almost_all()
    assert found is not None
    assert found.cosine < 0.9, "more than one in twenty has no twin"
    assert found.frames > reach


def test_pruned_keys_are_matched_with_kept_ones_alone(monkeypatch):
    """The twins of all that is pruned stay, in the view before."""
    views = torch.arange(VIEWS * LAYOUT.tokens_per_view) // LAYOUT.tokens_per_view
    watch = MatchWatch(lambda core, layout, device: (views % 2 == 0).nonzero().squeeze(1))
    with watch.over(model := Model(monkeypatch)):
        model(planted(1))
    assert len(watch.keys[0].cosine) == VIEWS // 2 * 4
    found = watch.almost_all()
    assert found is not None
    assert found.cosine == pytest.approx(1, abs=1e-5)
    assert found.frames == 1


def test_spark3r_records_what_its_claims_ask_for():
    cls = METHODS.get("spark3r")
    weights = SHIPPED / "vggt-tiny.safetensors"
    context = BuildContext("vggt", "tiny", weights=weights)
    predictor = cls(cls.Options(kv_factor=2, layers="fixed")).build(context)
    generator = torch.Generator().manual_seed(0)
    different = torch.rand(1, 4, 3, 72, 96, generator=generator)
    copies = different[:, [0, 0, 1, 1]]  # views 1 and 3 are pruned
    with torch.inference_mode():
        alike = predictor.explain(copies, predictor(copies))
        other = predictor.explain(different, predictor(different))
        single = predictor.explain(copies[:, :1], predictor(copies[:, :1]))
    assert set(alike) == {fact.name for fact in cls.facts}
    assert alike["kv_match_cosine"] > other["kv_match_cosine"] + 0.02
    assert 1 <= alike["query_match_frames"] <= 3
    assert single == {}


def test_likeness_at_a_thousand_views_takes_little_memory():
    tokens = 1000 * 1041
    layout = TokenLayout(1, 1000, 5, 28, 37)
    watch = MatchWatch(lambda core, layout, device: None)
    with PretendCuda(values=False) as gpu, torch.inference_mode():
        k = torch.empty(1, 16, tokens, 64, dtype=torch.bfloat16, device="cuda")
        gpu.memory.reset()
        before = gpu.memory.live
        watch._look(SoftmaxCore(), (k, k, k, layout))
        assert gpu.memory.peak - before < 3 * (1 << 30)  # of which 2 are the keys, head by head
