"""Depth-Anything-3: which view becomes the reference."""

import pytest
import torch
import torch.nn.functional as F

from bench3r.models.backbones import build_backbone
from bench3r.models.depth_anything_3.reference import choose_reference, similarity_range


def random_classes(seed):
    """Class tokens [1, 5, 6] of very different lengths."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(5, 6, generator=generator) + 1
    return (directions * torch.rand(5, 1, generator=generator) * 9)[None]


def balanced(classes, of_unit_length):
    """The rule spelt out, with the variance of tokens as they are or of unit length."""
    tokens = classes[0].double()
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    similarity = (unit @ unit.T).fill_diagonal_(0).sum(-1) / (len(tokens) - 1)
    variance = (unit if of_unit_length else tokens).var(-1, unbiased=True)
    distance = torch.zeros(len(tokens), dtype=torch.double)
    for measure in (similarity, tokens.norm(dim=-1), variance):
        scaled = (measure - measure.min()) / (measure.max() - measure.min())
        distance += (scaled - 0.5).abs()
    return int(distance.argmin())


def test_the_variance_is_that_of_tokens_of_unit_length():
    differing = 0
    for seed in range(50):
        classes = random_classes(seed)
        expected = balanced(classes, of_unit_length=True)
        assert choose_reference(classes, "saddle_balanced").tolist() == [expected]
        differing += expected != balanced(classes, of_unit_length=False)
    assert differing >= 10  # the two readings do choose differently


def test_the_range_of_similarities_counts_a_view_itself_as_zero():
    similarity = torch.tensor([[[1.0, 0.9, 0.8], [0.9, 1.0, -0.5], [0.8, -0.5, 1.0]]])
    torch.testing.assert_close(similarity_range(similarity), torch.tensor([[0.9, 1.4, 1.3]]))
    for seed in range(10):
        classes = random_classes(seed) - 5
        unit = F.normalize(classes[0], dim=-1)
        products = (unit @ unit.T).fill_diagonal_(0)
        expected = int((products.amax(1) - products.amin(1)).argmax())
        assert choose_reference(classes, "saddle_sim_range").tolist() == [expected]


@pytest.mark.parametrize(("strategy", "expected"), [("first", 0), ("middle", 2)])
def test_a_reference_may_be_chosen_by_place(strategy, expected):
    classes = torch.cat([random_classes(0), random_classes(1)])
    assert choose_reference(classes, strategy).tolist() == [expected, expected]


@pytest.mark.parametrize("strategy", ["saddle_balanced", "saddle_sim_range"])
def test_a_reference_chosen_by_content_does_not_depend_on_the_order(strategy):
    torch.manual_seed(0)
    model = build_backbone("depth_anything_3", "tiny").eval()
    model.config = model.config.model_copy(update={"reference": strategy})
    images = torch.rand(1, 4, 3, 48, 64)
    order = [1, 0, 3, 2]
    with torch.inference_mode():
        given, swapped = model(images), model(images[:, order])
    torch.testing.assert_close(swapped.depth, given.depth[:, order], atol=1e-4, rtol=1e-4)
