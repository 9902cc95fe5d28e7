"""Which network a plan gives to which method."""

from __future__ import annotations

from bench3r.run.config import RunConfig
from bench3r.run.planner import make_plan


def test_plan_gives_pairwise_models_their_own_network():
    config = RunConfig(
        name="x",
        methods={
            "vggt": {},
            "dust3r": {"graph": ["complete", "swin"]},
            "mast3r": {},
            "trivial": {},
        },
        datasets={"scannet": {"root": "procedural", "scenes": 1}},
        backbones=["pi3", "vggt"],
    )
    plan = make_plan(config)
    found = {(c.method, c.backbone) for c in plan.cells}
    assert found == {
        ("vggt", "vggt"),
        ("dust3r", "dust3r"),
        ("mast3r", "mast3r"),
        ("trivial", "none"),
    }
    assert len([c for c in plan.cells if c.method == "dust3r"]) == 2
    assert {p.method for p in plan.profiles} == {"vggt", "dust3r", "mast3r"}
    trained = make_plan(config.model_copy(update={"base": "train"}))
    assert {"base.dust3r.tiny.s0", "base.mast3r.tiny.s0"} <= {
        t.id.rsplit(".", 1)[0] for t in trained.trainings
    }
