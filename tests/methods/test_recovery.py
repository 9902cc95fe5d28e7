"""Early exit and layer skip: outputs that did not run are recovered by a fitted linear map."""

from __future__ import annotations

import itertools

import pytest
import torch

from bench3r.api.method import BuildContext
from bench3r.models.backbones import build_predictor, load_backbone
from bench3r.models.weights import save_safetensors
from bench3r.stages.train import fit_scenes
from tests.helpers.changed import SIZE, WEIGHTS, images, method


@pytest.mark.parametrize("name", ["early_exit", "layer_skip"])
def test_closed_form_methods_fit_and_report(name, tmp_path):
    chosen = method(name)
    context = BuildContext("vggt", "tiny", weights=WEIGHTS)
    learned = chosen.fit(fit_scenes(6, SIZE, 3), context)
    save_safetensors(tmp_path / "fitted.safetensors", learned)
    predictor = build_predictor(
        chosen,
        BuildContext("vggt", "tiny", weights=WEIGHTS, fitted=tmp_path / "fitted.safetensors"),
    )
    with torch.inference_mode():
        out = predictor(images())
    key = "exit_layer" if name == "early_exit" else "skipped_pairs"
    assert out.facts[key] in (2, 3, 4) or out.facts[key] == [1]


def test_recovered_output_is_closer_than_repeating():
    """The linear map beats the identity on scenes that it was not fitted on."""
    context = BuildContext("vggt", "tiny", weights=WEIGHTS)
    model = load_backbone(context)
    learned = method("layer_skip", start=2, count=1).fit(fit_scenes(40, SIZE, 3), context)
    weight = learned["schedule.recoveries.2.patch_map.weight"]
    bias = learned["schedule.recoveries.2.patch_map.bias"]
    ratios = []
    for scene in itertools.islice(fit_scenes(46, SIZE, 3), 40, 46):
        picture = torch.from_numpy(scene.images).permute(0, 3, 1, 2)[None].float() / 255
        with torch.no_grad():
            taps = model.run_trunk(picture, keep_all=True)[0].taps
        x, y = taps[1][:, :, 5:], taps[2][:, :, 5:]
        ratios.append(float((x @ weight.mT + bias - y).norm() / (x - y).norm()))
    assert sum(ratios) / len(ratios) < 0.7
    assert max(ratios) < 1


def test_early_exit_obeys_its_threshold(tiny):
    never = method("early_exit", threshold=1e-9)
    always = method("early_exit", criterion="saturation", threshold=9.0)
    for chosen, pairs in ((never, 4), (always, 2)):
        chosen.apply(tiny)
        with torch.inference_mode():
            assert tiny.eval()(images()).facts["exit_layer"] == pairs
