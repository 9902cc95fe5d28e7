"""What all methods of adaptive depth promise: counted FLOPs, sound outputs, refusals, training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from bench3r.api.errors import Bench3RError
from bench3r.api.method import BuildContext
from bench3r.measure import flops
from bench3r.models import vggt
from bench3r.run.config import parse_config
from bench3r.run.planner import make_plan
from bench3r.stages.train import finetune
from bench3r.training.config import FinetuneConfig
from tests.helpers.changed import WEIGHTS, images, method

VARIANTS = [
    ("early_exit", {}),
    ("early_exit", {"criterion": "saturation"}),
    ("early_exit", {"criterion": "learned"}),
    ("early_exit", {"measure": "pose"}),
    ("layer_skip", {}),
    ("shallow", {"quarters": 2}),
    ("mor", {}),
    ("mor", {"routing": "token_choice", "activation": "softmax", "alpha": 1.0}),
    ("mor", {"caching": "recursive_sharing"}),
    ("mor", {"caching": "latest", "gating": "weighted"}),
    (
        "mor",
        {"sharing": "middle_cycle", "recursions": 2, "max_depth": 2, "initialisation": "stepwise"},
    ),
    ("spatial_mor", {}),
    ("spatial_mor", {"routing": "region_guided", "regions": 8}),
    ("spatial_mor", {"caching": "region_coherent", "regions": 8}),
    ("spatial_mor", {"neighbourhood": 5, "max_depth": 2}),
    ("spatial_mor", {"patch_sizing": "adaptive", "caching": "recursion_wise"}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_counted_flops_agree_and_outputs_are_sound(tiny, name, options):
    """fvcore equals torch's counter for what really ran, also where the content decides."""
    chosen = method(name, **options)
    chosen.check("vggt", "tiny")
    chosen.apply(tiny)
    tiny.eval()
    picture = images()
    with torch.inference_mode():
        out = tiny(picture)
    assert out.problems(picture) == []
    assert flops.count(tiny, picture).macs == flops.count_torch(tiny, picture)


@pytest.mark.parametrize("name", ["mor", "spatial_mor", "shallow"])
def test_finetuning_starts_from_the_base_and_learns(name, tmp_path):
    config = FinetuneConfig(
        steps=4, frames_per_batch=4, view_counts=(2,), heights=(72,), queries=4, reuse=12
    )
    trainer = finetune(
        method(name), BuildContext("vggt", "tiny", weights=WEIGHTS), config, tmp_path
    )
    assert trainer.step == 4
    header = (tmp_path / "curve.csv").read_text().splitlines()[0].split(",")
    if name != "shallow":
        assert {"mean_depth", "share_1", "share_2"} <= set(header)
    if name == "spatial_mor":
        assert {"balance", "local_balance", "spatial"} <= set(header)


BAD = [
    ({"spatial_mor": {"max_depth": 0}}, "max_depth"),
    ({"mor": {"max_depth": 5}}, "exceeds recursions 4"),
    ({"mor": {"capacity": [[0.5, 0.6, 0.3, 0.1]]}}, "must not grow"),
    ({"mor": {"capacity": [[1.0, 0.5]]}}, "expected one for each of 4"),
    (
        {"mor": {"capacity": [[0.5, 0.5, 0.5, 0.5]], "caching": "latest"}},
        "capacity\\[0\\] must be 1",
    ),
    ({"spatial_mor": {"regions": 500}}, "only|an image has 108 patches"),
    ({"spatial_mor": {"alpha": 1.5}}, "alpha"),
    ({"spatial_mor": {"beta": -0.1}}, "beta"),
    ({"spatial_mor": {"neighbourhood": 4}}, "odd"),
    ({"spatial_mor": {"patch_sizing": "adaptive"}}, "needs caching recursion_wise"),
    ({"early_exit": {"exits": [[2, 9]]}}, "has 4 pairs"),
    ({"early_exit": {"exits": [[3, 2]]}}, "ascending"),
    ({"layer_skip": {"start": 2, "count": 4}}, "has pairs 0 to 3"),
    ({"mor": {"recursions": 3, "max_depth": 3}}, "no multiple of 3"),
    ({"mor": {"sharing": "middle_cycle"}}, "middle_cycle"),
]


@pytest.mark.parametrize(("methods", "message"), BAD)
def test_bad_settings_stop_at_planning(methods, message):
    raw = {
        "name": "x",
        "methods": methods,
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    with pytest.raises((Bench3RError, ValidationError), match=message):
        make_plan(parse_config(raw, "test"))


def test_a_backbone_without_the_hook_is_refused(monkeypatch):
    monkeypatch.setattr(vggt, "NETWORK", replace(vggt.NETWORK, hooks=("attention",)))
    raw = {
        "name": "x",
        "methods": {"mor": {}},
        "datasets": {"scannet": {"root": "procedural", "views": 4}},
    }
    with pytest.raises(Bench3RError, match="vggt has no schedule hook"):
        make_plan(parse_config(raw, "test"))
