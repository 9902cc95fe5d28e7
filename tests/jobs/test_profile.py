"""Supervised measurements: searches, limits, energy, records of published size."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.files import append_jsonl, write_json
from bench3r.jobs import profile_worker
from bench3r.jobs.profile import Measurement, largest_that
from bench3r.jobs.reference_worker import hold_depths, reference_record, typical_size
from bench3r.measure import nvidia
from bench3r.models.backbones import build_predictor
from bench3r.recursion.cost import USUAL_DEPTHS
from bench3r.report.reference import largest_counts, measured_tables
from bench3r.run import paths
from bench3r.run.config import RunConfig, parse_config
from bench3r.run.plan import make_plan
from bench3r.run.records import USER_ERROR, ProfileRecord
from bench3r.stages.collect import collect_profiles
from bench3r.stages.prepare import prepare


@pytest.mark.parametrize(
    ("fitting", "limit", "precision"),
    [(0, 50, 0), (1, 50, 0), (37, 50, 0), (37, 36, 0), (700, 9999, 0.05)],
)
def test_the_largest_that_fits(fitting, limit, precision):
    asked = []

    def fits(n):
        asked.append(n)
        return n <= fitting

    found, truth = largest_that(fits, limit, precision), min(fitting, limit)
    assert truth * (1 - precision) - 1e-9 <= found <= truth
    assert len(asked) == len(set(asked))  # nothing is tried twice
    assert max(asked) <= limit


RAW = {
    "name": "edge",
    "methods": {"vggt": {}},
    "datasets": {"scannet": {"root": "procedural", "scenes": 1, "views": 3}},
    "frames": [2],
    "protocols": ["depth_median"],
    "profile": {"frames": [2], "warmup": 1, "repeats": 1, "scenes": 1, "largest": 6},
}


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """A plan with a search, its data prepared, in a folder of its own."""
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("edge"))
    plan = make_plan(parse_config(RAW, "edge.yaml"))
    dataset = plan.datasets[0]
    prepare(dataset, paths.prepared(dataset.id), paths.data_folder(dataset.id))
    yield plan
    patch.undo()


def run(plan, entry, tmp_path, **limits):
    changed = plan.model_copy(
        update={"config": {**plan.config, "limits": {**plan.config["limits"], **limits}}}
    )
    file, out = tmp_path / "plan.json", tmp_path / "out.json"
    write_json(file, changed.model_dump(mode="json"))
    return Measurement(
        file, changed, entry, out, paths.prepared(entry.dataset).resolve(), None, None
    ).run(), out


def test_a_search_ends_at_its_limit(edge, tmp_path):
    entry = next(p for p in edge.profiles if p.largest)
    record, out = run(edge, entry, tmp_path)
    assert (record.status, record.largest) == ("ok", 6)
    assert [p["frames"] for p in record.probes] == [1, 2, 4, 6]
    assert all(p["bytes"] > 1e7 and p["seconds"] > 0 for p in record.probes)
    assert list(tmp_path.glob(".*")) == []  # no working files are left
    write_json(paths.profiled("edge", entry.id), json.loads(out.read_text()))
    rows = collect_profiles(edge, searches=True)
    assert [r["largest"] for r in rows] == [6]
    assert all("largest" not in r["cell"] for r in collect_profiles(edge) if "cell" in r)
    table = largest_counts(rows, "about")
    assert table is not None
    assert table.shown.iloc[0]["frames that fit"] == "6"


def test_a_model_that_needs_two_images_is_searched_from_two(edge, tmp_path, monkeypatch):
    entry = next(p for p in edge.profiles if p.largest)
    search = Measurement(tmp_path, edge, entry, tmp_path, tmp_path, None, None)

    def once(frames, probe):
        status = "unsupported" if frames == 1 else "ok" if frames <= 5 else "oom"
        return ProfileRecord(
            cell="c", key="k", status=status, reason="x", frames=frames, seconds=[0.5]
        )

    monkeypatch.setattr(search, "_once", once)
    record = search._search(16)
    assert (record.status, record.largest) == ("ok", 5)
    assert [p["frames"] for p in record.probes] == [1, 2, 4, 8, 6, 5]
    row = {
        "method": "dust3r",
        "label": "DUSt3R",
        "backbone": "dust3r",
        "options": "{}",
        **record.model_dump(),
    }
    table = largest_counts([row], "")
    assert table is not None
    assert table.shown.iloc[0]["frames that fit"] == "5"
    assert table.shown.iloc[0]["what stopped it"] == "6: oom, x"


def test_the_backbone_beside_a_method_is_no_part_of_its_memory(monkeypatch):
    """It is made after the method's first call; where it does not fit, the method is measured without it."""
    made, order = [], []

    class Predictor:
        def __init__(self, name):
            self.name = name

        def __call__(self, images):
            order.append(self.name)
            if self.name == "too large":
                raise MemoryError("out of memory")
            return SimpleNamespace(extras={})

    def make(name):
        made.append(len(order))
        return Predictor(name)

    entry = SimpleNamespace(id="e", key="k", frames=2, backbone="vggt", scale="tiny")
    config = RunConfig(
        name="x", methods={"vggt": {}}, datasets={}, profile={"warmup": 1, "repeats": 2}
    )
    images = [torch.zeros(1, 2, 3, 14, 14)]
    record = profile_worker.measure(entry, config, images, Predictor("own"), lambda: make("dense"))
    assert made == [1], "after the first call, whose memory is noted"
    assert order.count("dense") == 1 + 1 + 2
    assert (len(record.seconds), len(record.reference_seconds)) == (2, 2)
    record = profile_worker.measure(
        entry, config, images, Predictor("own"), lambda: make("too large")
    )
    assert (record.status, len(record.seconds), record.reference_seconds) == ("ok", 2, [])


def test_a_method_that_fits_only_without_its_backbone_beside_it(edge, tmp_path, monkeypatch):
    entry = next(p for p in edge.profiles if not p.largest)
    for method, tried in (("spark3r", [False, True]), ("vggt", [False])):
        own, alones = (
            Measurement(
                tmp_path,
                edge,
                entry.model_copy(update={"method": method}),
                tmp_path / "out.json",
                tmp_path,
                None,
                None,
            ),
            [],
        )

        def once(frames, probe, alone=False, alones=alones):
            alones.append(alone)
            return ProfileRecord(cell="c", key="k", status="ok" if alone else "oom", frames=frames)

        monkeypatch.setattr(own, "_once", once)
        assert (own.run().status, alones) == ("ok" if True in tried else "oom", tried)


def test_no_memory_is_a_result(edge, tmp_path):
    searched, plain = sorted(edge.profiles, key=lambda p: p.largest is None)
    record, _ = run(edge, searched, tmp_path, memory_gb=0.05)
    assert (record.status, record.largest) == ("oom", 0)
    assert "allowed 0.05 GB" in record.reason
    record, _ = run(edge, plain, tmp_path, memory_gb=0.05)
    assert record.status == "oom"
    table = largest_counts(
        [
            {
                "method": "vggt",
                "label": "VGGT",
                "backbone": "vggt",
                "options": "{}",
                **record.model_dump(),
                "largest": 0,
                "probes": [
                    {"frames": 1, "status": "oom", "reason": "x", "seconds": None, "bytes": None}
                ],
            }
        ],
        "",
    )
    assert table is not None
    assert table.shown.iloc[0]["what stopped it"] == "1: oom, x"


def test_a_missing_device_is_an_error_and_no_record(edge, tmp_path):
    plain = next(p for p in edge.profiles if not p.largest)
    on_gpu = edge.model_copy(update={"config": {**edge.config, "device": "cuda"}})
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(Bench3RError, match="torch sees no GPU"):
        run(on_gpu, plain, tmp_path)
    assert not (tmp_path / "out.json").exists()
    assert USER_ERROR == 2


def test_energy_and_state_of_a_gpu(monkeypatch):
    """With a stand-in for NVIDIA's library: 20 J a call, clocks slowed down by heat, another process on the card."""
    used, clock = [0.0], [0.0]
    fake = SimpleNamespace(
        nvmlDeviceGetTotalEnergyConsumption=lambda h: used[0] * 1000,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda h: 0x40 | 0x1,
        nvmlDeviceGetComputeRunningProcesses=lambda h: [
            SimpleNamespace(pid=p) for p in (1, os.getpid())
        ],
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        nvmlDeviceGetClockInfo=lambda h, k: 1000 * k,
        nvmlDeviceGetMaxClockInfo=lambda h, k: 1980,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetTemperature=lambda h, k: 88,
        nvmlDeviceGetPowerUsage=lambda h: 650_000,
    )
    monkeypatch.setattr(nvidia.torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(nvidia.time, "perf_counter", lambda: clock[0])
    gpu = nvidia.Gpu.__new__(nvidia.Gpu)
    gpu.nvml, gpu.handle = fake, None

    def call():
        used[0] += 20
        clock[0] += 1

    joules, state = nvidia.energy_of(call, gpu, 2.5)
    assert (joules, state["energy_calls"], state["power_w"]) == (20, 3, 650)
    assert state["throttled_by"] == ["temperature (hardware)"]
    assert state["other_processes"] == [1]
    assert nvidia.others_of([4711], os.getpid()) == [], (
        "in a container: this process under the host's number"
    )
    assert nvidia.others_of([4711, 4712], os.getpid()) == [4712]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(nvidia.torch.cuda, "is_available", lambda: True)
    assert nvidia.find_gpu() == "nvidia-ml-py is not installed"


def case(method, **options):
    return {
        "id": method,
        "method": method,
        "label": method,
        "options": options,
        "backbone": "vggt",
        "scale": "tiny",
        "size": [72, 96],
        "device": "cpu",
        "precision": "fp32",
        "frames": 2,
        "warmup": 1,
        "repeats": 3,
        "seconds": 1,
        "threads": 1,
    }


def test_records_with_random_weights(tmp_path):
    rows = [
        {"case": c, **reference_record(c).model_dump(mode="json")}
        for c in (case("vggt"), case("spatial_mor"))
    ]
    assert [r["status"] for r in rows] == ["ok", "ok"], rows
    dense, routed = rows
    assert 0 < routed["flops"] < dense["flops"]
    assert "Table V" in routed["assumed"]
    assert dense["assumed"] == ""
    assert dense["trunk_seconds"]
    assert dense["weight_bytes"] == 4 * dense["parameters"]
    for row in [
        *rows,
        {"case": case("pi3") | {"frames": 64}, "status": "oom", "reason": "too much"},
    ]:
        append_jsonl(tmp_path / "Some-GPU" / "records.jsonl", row)
    (table,) = measured_tables(tmp_path)
    shown = table.shown.set_index("method")
    assert shown.loc["vggt, VGGT", "2"].removesuffix(" (!)").endswith("GB")
    assert "oom" in set(shown["64"])
    assert "Table V" in " ".join(table.notes)
    assert typical_size("vggt", "full") == (336, 518)


def test_given_depths_are_taken():
    from bench3r.api.method import BuildContext

    cls = METHODS.get("spatial_mor")
    predictor = build_predictor(cls(), BuildContext("vggt", "tiny"))
    hold_depths(predictor.model.schedule, USUAL_DEPTHS)
    with torch.inference_mode():
        out = predictor(torch.rand(1, 8, 3, 96, 96))
    shares = (
        torch.bincount(out.recursion_depth.flatten(), minlength=5)[1:] / out.recursion_depth.numel()
    )
    torch.testing.assert_close(
        shares, torch.tensor(USUAL_DEPTHS, dtype=shares.dtype), atol=0.05, rtol=0
    )
