"""Closed forms of every method against counts at the tiny scale; the table at published size."""

import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from bench3r.api.cost import BackboneCost
from bench3r.api.errors import Bench3RError, Unsupported
from bench3r.api.method import METHODS, cost_of
from bench3r.cli import main
from bench3r.measure import flops
from bench3r.models.backbones import build_backbone
from bench3r.models.catalogue import unchanged_cost
from bench3r.models.layers import attention_modules
from bench3r.models.pair.network import PairPass
from bench3r.pairwise.graph import edge_count, scene_graph
from tests.conftest import ROOT

PEAK = """
import atexit, re
# not getrusage: its peak is inherited from the process that started this one
peak = lambda: re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
atexit.register(lambda: print("peak KiB", peak()))
from bench3r.cli import main
main()
"""
BACKBONES = ("vggt", "pi3", "depth_anything_3")
SIZE = (72, 96)
STATIC = [  # method, options, frames: the closed form is exact
    ("shallow", {"quarters": 2}, 3),
    ("layer_skip", {}, 3),
    ("avggt", {}, 4),
    ("avggt", {"factor": 4, "mean": False}, 4),
    ("avggt", {"early": 0, "last": 0, "diagonal": False}, 3),
    ("spark3r", {"query_factor": 2, "kv_factor": 2, "layers": "fixed"}, 5),
    ("spark3r", {"symmetric": 2}, 4),
    ("spark3r", {"query_factor": 3, "kv_factor": 3, "layers": "fixed", "group": 2}, 5),
    ("vgg_t3", {}, 3),
    ("vgg_t3", {"steps": 3, "layers": 2, "ratio": 2}, 3),
    ("lite3r", {"variant": "sla_linear_only"}, 3),
    ("lite3r", {"variant": "bf16_dense"}, 2),
    ("mor", {"caching": "recursive_sharing", "capacity": (1, 1, 1, 1)}, 3),
]
CLOSE = [  # to 1 %: last blocks are partly empty, shares of patches are rounded
    ("mor", {}, 3),
    ("mor", {"caching": "recursive_sharing"}, 3),
    ("lite3r", {"block": 16}, 3),
    ("mor", {"router": "mlp", "max_depth": 2}, 3),
    ("fastvggt", {}, 4),
    ("fastvggt", {"ratio": 0.3, "protect": 0.0, "start": 2}, 4),
    ("fastvggt", {"cell": 3}, 5),
    ("spark3r", {"kv_factor": 2, "layers": "fixed", "stride": "staggered"}, 5),
    ("lite3r", {"block": 16, "level": "sla"}, 3),
]


def changed(name, options, backbone):
    torch.manual_seed(0)
    model = build_backbone(backbone, "tiny")
    cls = METHODS.get(name)
    method = cls(cls.Options(**options))
    method.apply(model)
    return method, model.eval()


def counted(model, frames):
    with torch.inference_mode():
        return flops.count_torch(model, torch.rand(1, frames, 3, *SIZE))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("name", "options", "frames"), STATIC)
def test_closed_forms_are_exact_where_content_does_not_matter(name, options, frames, backbone):
    method, model = changed(name, options, backbone)
    found = cost_of(method, unchanged_cost(backbone, "tiny", frames, SIZE))
    assert counted(model, frames) == pytest.approx(found.macs, rel=1e-9)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("name", "options", "frames"), CLOSE)
def test_closed_forms_are_close_where_it_matters_a_little(name, options, frames, backbone):
    method, model = changed(name, options, backbone)
    found = cost_of(method, unchanged_cost(backbone, "tiny", frames, SIZE))
    assert counted(model, frames) == pytest.approx(found.macs, rel=0.01)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"caching": "recursion_wise"},
        {"patch_sizing": "adaptive", "caching": "recursion_wise"},
        {"max_depth": 2, "neighbourhood": 1},
    ],
)
def test_spatial_mor_costs_what_its_depths_say(options, backbone):
    method, model = changed("spatial_mor", options, backbone)
    images = torch.rand(1, 3, 3, *SIZE)
    with torch.inference_mode():
        histogram = model(images).facts["depth_histogram"]
        macs = flops.count_torch(model, images)
    shares = tuple(c / sum(histogram) for c in histogram[1:])
    dense = unchanged_cost(backbone, "tiny", 3, SIZE).with_depth_shares(shares, "measured")
    found = cost_of(method, dense)
    assert macs == pytest.approx(found.macs, rel=0.01)
    assert found.assumed == ("" if method.options.patch_sizing == "adaptive" else "measured")


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("criterion", ["change", "saturation"])
def test_early_exit_that_always_leaves(criterion, backbone):
    method, model = changed("early_exit", {"criterion": criterion, "exit_share": 1.0}, backbone)
    model.schedule.threshold.fill_(1e9)
    found = cost_of(method, unchanged_cost(backbone, "tiny", 3, SIZE))
    assert counted(model, 3) == pytest.approx(found.macs, rel=0.01)


def test_block_sparse_keeping_its_fewest_blocks():
    options = {"cdf": None, "sparse_ratio": 0.5, "q_block": 16, "k_block": 16}
    method, model = changed("block_sparse", options, "vggt")
    found = cost_of(method, unchanged_cost("vggt", "tiny", 4, SIZE))
    assert counted(model, 4) == pytest.approx(found.macs, rel=0.01)
    assert "of" in found.assumed


@pytest.mark.parametrize("backbone", BACKBONES)
def test_attention_shapes_are_those_of_the_model(backbone):
    dense = unchanged_cost(backbone, "tiny", 3, SIZE)
    with torch.device("meta"):
        model = build_backbone(backbone, "tiny")
    for role in ("encoder", "frame", "global"):
        own = [a for a in dense.attentions if a.role == role]
        modules = [m for _, m in attention_modules(model, role)]
        assert [(a.dim, a.heads) for a in own] == [(m.proj.in_features, m.heads) for m in modules]


@pytest.mark.parametrize("name", ["dust3r", "mast3r"])
def test_pairwise_networks(name):
    cls = METHODS.get(name)
    network = build_backbone(name, "tiny").eval()
    for graph in ("complete", "swin"):
        method = cls(cls.Options(graph=graph, window=1))
        found = cost_of(method, unchanged_cost(name, "tiny", 4, SIZE))
        whole = PairPass(network, scene_graph(4, graph, 1))
        assert found.macs == counted(whole, 4)
    with pytest.raises(Unsupported, match="two images"):
        cost_of(method, unchanged_cost(name, "full", 1))
    assert edge_count(10_000) == 10_000 * 9_999


def test_every_method_that_computes_has_a_cost():
    for name, cls in METHODS.all().items():
        if cls.kind == "control":
            with pytest.raises(Unsupported, match="no closed form"):
                cost_of(cls(), unchanged_cost("vggt", "tiny", 2))
            continue
        backbone = (cls.backbones or ("vggt",))[0]
        assert cost_of(cls(), unchanged_cost(backbone, "full", 100)).macs > 1e12, name


def test_bad_input():
    with pytest.raises(Bench3RError, match="frames"):
        unchanged_cost("vggt", "full", 0)
    with pytest.raises(Bench3RError, match="add up to 1"):
        unchanged_cost("vggt", "full", 1).with_depth_shares((0.5, 0.2), "x")
    assert isinstance(unchanged_cost("pi3", "paper", 2), BackboneCost)


def test_ten_thousand_frames_are_counted_at_once():
    start = time.perf_counter()
    cls = METHODS.get("vgg_t3")
    fixed, default = cls(cls.Options(steps=2)), cls()
    for backbone in ("pi3", "vggt"):
        few, many = (
            cost_of(fixed, unchanged_cost(backbone, "full", n)).parts for n in (1000, 10_000)
        )
        grown = {
            k: many[k] / few[k] for k in few if k != "camera_head"
        }  # of VGGT: attention over all cameras
        assert grown == pytest.approx(dict.fromkeys(grown, 10), rel=1e-3)
    assert (
        cost_of(default, unchanged_cost("pi3", "full", 10_000)).macs
        > cost_of(fixed, unchanged_cost("pi3", "full", 10_000)).macs
    )
    assert time.perf_counter() - start < 30


def test_the_table_at_published_size(tmp_path):
    """All methods on all backbones up to 10,000 frames, quickly and in little memory."""
    out = tmp_path / "flops.csv"
    words = [
        "profile",
        "--scale",
        "full",
        "--frames",
        "1",
        "100",
        "10000",
        "--device",
        "meta",
        "--out",
        str(out),
    ]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert time.perf_counter() - start < 120
    assert int(done.stdout.split("peak KiB")[-1]) < 2e6
    rows = pd.read_csv(out)
    assert set(rows["frames"]) == {1, 100, 10_000}
    assert set(rows[rows["kind"] == "plugin"]["backbone"]) == set(BACKBONES)
    vggt = rows[(rows["method"] == "vggt") & (rows["frames"] == 100)].iloc[0]
    assert vggt["flops"] == 2 * unchanged_cost("vggt", "full", 100).total
    assert f"{vggt['flops'] / 1e12:,.0f}" in done.stdout
    assert vggt["computed_by"].startswith("closed form `cost` of methods/vggt.py"), "no record"
    assert (
        rows["reason"].fillna("").ne("").eq(rows["flops"].isna()).all()
    )  # whatever is missing has its reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "meta", "--frames", "0"], "at least 1"),
        (["--device", "meta", "--frames", "x"], "expected numbers"),
        (
            ["--device", "meta", "--scale", "huge"],
            "no backbone has a configuration for scale 'huge'",
        ),
        (["--device", "cuda"], "only meta"),
        ([], "give one profile id"),
    ],
)
def test_bad_requests(words, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench3r", "profile", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
