"""Roofline estimates: floors, devices, what is shown beside measurements."""

import pytest
import torch

from bench3r.api.cost import Cost
from bench3r.api.errors import Bench3RError
from bench3r.jobs.profile_measure import suspect_reasons
from bench3r.measure.roofline import device, devices, floor_seconds, measured_ceiling, traffic
from bench3r.models.catalogue import unchanged_cost
from bench3r.report.published import published_counts
from bench3r.report.sections.estimates import estimate, estimates
from bench3r.run.records import ProfileRecord


def test_the_floor_is_the_slower_of_computing_and_moving_per_part():
    flops, moved = {"a": 100.0, "b": 1.0}, {"a": 1.0, "b": 50.0, "c": 10.0}
    assert floor_seconds(flops, moved, rate=10, bandwidth=5) == pytest.approx(10 + 10 + 2)


def test_every_device_has_its_ceilings_and_source():
    for name, found in devices().items():
        assert found.rate("bf16") > found.rate("fp32") > 1e12, name
        assert found.source
    with pytest.raises(Bench3RError, match="H100"):
        device("H10")
    with pytest.raises(Bench3RError, match="no rate for fp8"):
        device("A100-80GB").rate("fp8")


def test_a_wrong_device_file_is_named(tmp_path):
    file = tmp_path / "devices.yaml"
    file.write_text("X: {label: x, tflops: {bf16: 1}, bandwidth_tb: -1, memory_gb: 1, source: s}")
    with pytest.raises(Bench3RError, match=r"devices.yaml: X.*bandwidth_tb"):
        devices(file)
    with pytest.raises(Bench3RError, match="no device file"):
        devices(tmp_path / "none.yaml")


def test_traffic_follows_what_runs():
    dense = unchanged_cost("vggt", "full", 8)
    half = {k: v / 2 for k, v in dense.parts.items()}
    weights = {"global_blocks": 10.0, "tokens": 4.0}
    full, less = (traffic(dense, Cost(p), weights, "bf16") for p in (dense.parts, half))
    assert less["global_blocks"] - 10 == pytest.approx((full["global_blocks"] - 10) / 2)
    assert less["tokens"] == 4


def test_estimates_grow_with_the_work_and_shrink_with_the_device():
    seconds = {}
    for count in published_counts("full", (10, 100)):
        if count.backbone == "vggt":
            for name in ("H100", "RTX4090"):
                found = estimate(count, device(name), "bf16", 1.0)
                seconds[count.method, count.frames, name] = found
                assert estimate(count, device(name), "bf16", 0.5) == pytest.approx(2 * found)
    assert seconds["vggt", 100, "H100"] > 10 * seconds["vggt", 10, "H100"]
    assert seconds["vggt", 100, "RTX4090"] > seconds["vggt", 100, "H100"]
    assert seconds["lite3r", 100, "H100"] < seconds["vggt", 100, "H100"]
    table = estimates()
    assert "ESTIMATED" in table.notes[0]
    assert "seconds_estimated" in table.raw
    assert "seconds" not in table.raw  # never under the name of a measurement
    assert estimates("huge") is None


def test_a_latency_below_the_floor_is_suspect():
    torch.set_num_threads(1)
    ceiling = measured_ceiling(seconds=0.02)
    assert ceiling["flops"] > 1e9
    assert ceiling["bytes"] > 1e8
    record = ProfileRecord(
        cell="c",
        key="k",
        status="ok",
        macs=10**12,
        flops=2 * 10**12,
        ceiling={"flops": 1e12, "bytes": 1.0},
    )
    for seconds, doubtful in ((2.1, False), (1.5, False), (0.5, True)):
        record.seconds = [seconds] * 3
        assert any("roofline" in r for r in suspect_reasons(record)) is doubtful


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"macs": 0}, "FLOP count is zero"),
        ({"seconds": [1.0] * 9 + [1.6]}, "calls differ by 60% of their median"),
        ({"peak_rss_bytes": 90}, "memory peak is below the weights"),
        (
            {"peak_rss_bytes": 90, "peak_gpu_bytes": 110},
            None,
        ),  # weights lie on the GPU: the host's memory says nothing
        ({"peak_rss_bytes": 110, "peak_gpu_bytes": 90}, "memory peak is below the weights"),
        ({"gpu_state": {"throttled_by": ["power cap"]}}, "slowed down by power cap"),
        ({"gpu_state": {"other_processes": [7, 8]}}, "2 other processes"),
    ],
)
def test_what_makes_a_record_suspect(changed, reason):
    sound = ProfileRecord(
        cell="c",
        key="k",
        status="ok",
        macs=5,
        flops=10,
        seconds=[1.0, 1.1, 1.0],
        weight_bytes=100,
        peak_rss_bytes=200,
        ceiling={"flops": 1e3, "bytes": 1e3},
    )
    assert suspect_reasons(sound) == []
    found = suspect_reasons(sound.model_copy(update=changed))
    assert [reason in r for r in found] == [True] if reason else found == []
