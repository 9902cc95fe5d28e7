"""What methods train: distillation, and the parts that ship."""

from __future__ import annotations

import csv

from bench3r.api.method import METHODS, BuildContext
from bench3r.files import digest, file_digest, read_json
from bench3r.models.backbones import build_predictor
from bench3r.models.weights import SHIPPED, read_state_dict, resolve_base
from bench3r.run.records import TrainRecord
from bench3r.stages.train import export_trained, finetune
from bench3r.training.config import FinetuneConfig


def test_distillation_trains_only_what_the_method_adds(tmp_path):
    cls = METHODS.get("lite3r")
    method = cls(cls.Options(block=16, variant="sla_block_fp8"))
    base = resolve_base("shipped", "vggt", "tiny", None)
    config = FinetuneConfig(
        steps=12, lr=5e-3, warmup=1, frames_per_batch=4, view_counts=(2,), log_every=1, ema=0.0
    )
    trainer = finetune(method, BuildContext("vggt", "tiny", weights=base), config, tmp_path / "t")
    rows = list(csv.DictReader((tmp_path / "t" / "curve.csv").open()))
    assert float(rows[-1]["distillation"]) < float(rows[0]["distillation"])
    trained = {n for n, p in trainer.model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".core.proj_lin." in n for n in trained)
    export_trained(trainer, tmp_path / "w.safetensors", TrainRecord(method="lite3r"))
    state = read_state_dict(tmp_path / "w.safetensors")
    assert set(state) == trained
    assert (
        len(trainer.inner.teacher.loss.by_layer) == 13
    )  # 3 encoder, 4 frame, 4 global, 2 camera head
    predictor = build_predictor(
        method, BuildContext("vggt", "tiny", weights=base, fitted=tmp_path / "w.safetensors")
    )
    assert predictor.deployed["weight_storage"] == "fp8_e4m3"
    assert "read back from FP8 codes" in predictor.deployed["emulated"]


def test_shipped_parts_fit_their_method_and_base():
    found = sorted(SHIPPED.glob("*-vggt-tiny-*.safetensors"))
    assert {p.name.split("-")[0] for p in found} == {"lite3r", "vgg_t3"}
    base = resolve_base("shipped", "vggt", "tiny", None)
    for path in found:
        record = read_json(path.with_suffix(".json"))
        assert path.stem.endswith(digest(record["options"])[:8])
        assert record["base_weights"] == file_digest(base)
        cls = METHODS.get(record["method"])
        build_predictor(
            cls(cls.Options(**record["options"])),
            BuildContext("vggt", "tiny", weights=base, fitted=path),
        )
