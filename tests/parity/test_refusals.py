"""A golden file that asks for more than is computed is refused, not computed as something else."""

from __future__ import annotations

import json

import pytest

from bench3r.api.errors import Bench3RError
from tests.conftest import GOLDEN
from tests.helpers.golden_copy import Planted

PARTS = []
for path in sorted(GOLDEN.glob("*.json")):
    raw = json.loads(path.read_text())
    if path.with_suffix(".npz").exists():
        PARTS += [(path.stem, p) for p in ("parameters", "config", "input") if raw.get(p)]


@pytest.mark.parametrize(("case", "part"), PARTS)
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path, case, part):
    planted = Planted(case, tmp_path).set(part, surprise=1)
    with pytest.raises(Bench3RError) as error:
        planted.computed()
    message = str(error.value)
    assert message.startswith(str(planted.path))
    assert f"{part}: unknown key 'surprise'" in message
    known = message.partition("known: ")[2].split(", ")
    assert set(planted.raw[part]) - {"surprise"} <= set(known)


@pytest.mark.parametrize("case", ["p2_cut3r_room", "p5_traj", "p9_fscore", "vggt-tiny"])
@pytest.mark.parametrize("part", ["parameters", "input", "overrides"])
def test_a_part_that_a_case_does_not_have_is_refused(tmp_path, case, part):
    planted = Planted(case, tmp_path).set(part, surprise=1)
    with pytest.raises(Bench3RError, match=f"unknown {part} surprise"):
        planted.computed()


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("sparse_vggt_cdf_only", {"pool_mode": "median"}),
        ("sparse_vggt_cdf_only", {"rope": "spiral"}),
        ("sparse_vggt_cdf_only", {"cdf_threshold": None, "sparse_ratio": None}),
        ("fastvggt_odd_grid", {"qk_norm": "RMSNorm eps 1e-5"}),
        ("mor_ec_train", {"router_func": "relu"}),
        ("mor_ec_train", {"router_type": "conv"}),
        ("mor_ec_train", {"sampling": "dice"}),
        ("mor_ec_train", {"gating": "wighted"}),
        ("mor_ec_train", {"mode": "test"}),
        ("mor_ec_train", {"alpha": None}),
        ("mor_tc_train", {"router_func": "tanh"}),
        ("mor_tc_train", {"balancing": "lossfree"}),
        ("lite3r_sla_block", {"mode": "dense"}),
        ("lite3r_fp8_linear", {"format": "float8_e5m2"}),
        ("lite3r_fp8_linear", {"eps": 1e-6}),
        ("sla_softmax_phi", {"feature_map": "hedgehog"}),
        ("lact_update_steps0", {"norm_eps": 1e-6}),
        ("p1_pi3_room", {"icp": "Open3D registration_icp, point to plane"}),
        ("p1_pi3_room", {"normals": "8 nearest neighbours"}),
    ],
)
def test_an_unknown_value_is_refused(tmp_path, case, values):
    planted = Planted(case, tmp_path).set("parameters", **values)
    with pytest.raises(Bench3RError) as error:
        planted.computed()
    assert str(error.value).startswith(f"{planted.path}: parameters: ")
    assert any(name in str(error.value) for name in values)


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("dust3r-linear-small", {"common": "pos_embed='cosine'"}),
        ("dust3r-linear-small", {"common": "depth_mode=('square',-inf,inf)"}),
        ("dust3r-linear-small", {"common": "activation='relu'"}),
        ("dust3r-linear-small", {"output_mode": "pts3d+normals"}),
        ("dust3r-linear-small", {"two_confs": True}),
        ("pi3-small", {"decoder_size": "huge"}),
        ("pi3-small", {"decoder_size": "base"}),
        ("da3-small", {"cam_dec": None}),
        ("da3-small", {"gs_head": {}}),
        ("vggt-tiny", {"vggt": {"embed_dim": 96}}),
        ("vggt-tiny", {"aggregator": {"aa_order": ["global", "frame"]}}),
    ],
)
def test_an_unknown_configuration_is_refused(tmp_path, case, values):
    planted = Planted(case, tmp_path).set("config", **values)
    with pytest.raises(Bench3RError, match=str(planted.path)):
        planted.computed()


@pytest.mark.parametrize(
    ("case", "values"),
    [
        ("fastvggt_odd_grid", {"N": 7}),
        ("mor_tc_eval", {"T": 7}),
        ("lite3r_sla_block_padded", {"padding": 7}),
        ("lite3r_sla_token_train", {"kept_keys": 7}),
        ("lite3r_sla_3way", {"negligible_blocks": 7}),
        ("lite3r_distill", {"mismatched_layer": 1}),
        ("sla_softmax_phi", {"L": 7}),
        ("lact_ns_tall", {"rows": 7}),
        ("lact_layer", {"inter_multi": 7}),
        ("sparse_vggt_hilbert", {"frames": 7}),
        ("sparse_vggt_ratio_only", {"extra_blocks": 7}),
    ],
)
def test_a_description_that_contradicts_its_arrays_is_refused(tmp_path, case, values):
    planted = Planted(case, tmp_path).set("parameters", **values)
    (name,) = values
    with pytest.raises(Bench3RError, match=f"{name} is {values[name]}"):
        planted.computed()


@pytest.mark.parametrize("value", [0.5, True, 3])
def test_a_number_beside_the_parameters_is_refused(tmp_path, value):
    planted = Planted("lite3r_distill", tmp_path)
    planted.raw["surprise"] = value
    with pytest.raises(Bench3RError, match="unknown key 'surprise'"):
        planted.computed()


def test_a_number_beside_a_tolerance_is_refused(tmp_path):
    planted = Planted("lite3r_distill", tmp_path)
    planted.raw["gates"][0]["slack"] = 0.5
    with pytest.raises(Bench3RError, match=r"gates.0: .*unknown key 'slack'"):
        planted.computed()


@pytest.mark.parametrize("name", ["dist", "V"])
def test_an_option_of_the_official_aligner_is_refused(tmp_path, name):
    planted = Planted("dust3r-ga", tmp_path)
    planted.raw[name] = "l2" if name == "dist" else 9
    with pytest.raises(Bench3RError, match=name):
        planted.computed()
