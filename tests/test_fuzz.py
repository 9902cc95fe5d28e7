"""Any input gives a valid object or one clear error, never a traceback from inside a library."""

from __future__ import annotations

import copy
import json
import string
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.api.scene import Frame
from bench3r.data import frame_lists
from bench3r.data.formats import mvsnet, tum
from bench3r.data.formats.files import read_matrix, read_numbers
from bench3r.data.formats.sens import open_sens
from bench3r.exchange.bundle import Manifest, verify
from bench3r.exchange.source import read_table
from bench3r.files import append_jsonl, read_json, read_jsonl, read_npz, write_jsonl
from bench3r.models.weights import read_state_dict
from bench3r.parity.check import check_file
from bench3r.run.config import RunConfig, load_config, parse_config
from bench3r.run.planner import make_plan
from tests.conftest import ROOT
from tests.helpers.layouts import WRITERS

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*RunConfig.model_fields, "frame", "method", ""])
NUMBERS = st.lists(
    st.sampled_from(["1", "-inf", "nan", "1e400", "0", "x", "--", "\ufeff", "1,2", "\0", "²"]),
    max_size=20,
)


def fine(call, *kinds):
    """The result of ``call``, of one of ``kinds``; nothing when it raises our error with a text."""
    try:
        out = call()
    except Bench3RError as refused:
        if not str(refused).strip():
            pytest.fail("an error without a text")
        return None
    assert isinstance(out, kinds)
    return out


@QUICK
@given(VALUES)
def test_any_value_as_configuration(raw):
    fine(lambda: parse_config(raw, "x.yaml"), RunConfig)


@settings(QUICK, max_examples=120)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(["default", "full", "scaling"]))
@example({"frames": [0]}, "default")
@example({"methods": {"vggt": {"x": float("nan")}}}, "default")
@example({"seeds": []}, "default")
@example({"name": "../up"}, "default")
@example({"datasets": {"scannet": {"root": "\0"}}}, "default")
@example({"only": {"fscore": ["scannet"]}, "protocols": ["fscore"]}, "scaling")
def test_a_configuration_with_parts_replaced_is_planned_or_refused(changes, name):
    raw = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()) | changes
    fine(lambda: make_plan(parse_config(raw, "x.yaml")).cells, list)


@QUICK
@given(st.text(alphabet=string.printable, max_size=60))
@example("a: b: c")
@example("- 1\n- 2")
@example("!!python/object/apply:os.system ['true']")
@example("&a [*a]")
def test_any_text_as_yaml(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    fine(lambda: load_config(path), RunConfig)


@QUICK
@given(st.binary(max_size=80))
@example(b"PF\n2 2\n-1\n" + bytes(48))
@example(b"Pf\n2 2\n0\n" + bytes(16))
@example(b"Pf\n-2 2\n-1\n")
@example(b"Pf\n99999999 99999999\n-1\n")
@example(b"PK\x03\x04")
@example(b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }")
def test_any_bytes_as_any_file(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    fine(lambda: read_numbers(path), np.ndarray)
    fine(lambda: read_matrix(path, (3, 4)), np.ndarray)
    fine(lambda: mvsnet.read_cam(path), tuple)
    fine(lambda: mvsnet.read_pfm(path), np.ndarray)
    fine(lambda: tum.read_list(path), list)
    fine(lambda: tum.read_poses(path), list)
    fine(lambda: read_npz(path), dict)
    fine(lambda: read_json(path), object)
    fine(lambda: read_jsonl(path), list)
    fine(lambda: open_sens(path), object)
    fine(lambda: verify(path), Manifest)
    fine(lambda: read_table(path), object)
    for suffix in (".pt", ".safetensors"):
        weights = path.rename(path.with_suffix(suffix))
        fine(lambda p=weights: read_state_dict(p), dict)
        weights.rename(path)


@QUICK
@given(NUMBERS, st.sampled_from([" ", "\n", "\t"]))
def test_any_numbers_as_poses_and_cameras(tmp_path, words, glue):
    path = tmp_path / "pose.txt"
    path.write_text(glue.join(words))
    fine(lambda: read_matrix(path, (4, 4)), np.ndarray)
    fine(lambda: tum.read_poses(path), list)
    path.write_text("extrinsic\n" + glue.join(words) + "\n\nintrinsic\n" + glue.join(words))
    fine(lambda: mvsnet.read_cam(path), tuple)


@settings(QUICK, max_examples=25)
@given(data=st.data())
@pytest.mark.parametrize("case", WRITERS)
def test_a_changed_file_of_a_dataset_is_read_or_named(case, data, tmp_path_factory):
    """One file is cut, overwritten, replaced or removed; every frame is still read, or refused."""
    root = tmp_path_factory.mktemp("root")
    WRITERS[case][1](root)
    file = data.draw(st.sampled_from(sorted(p for p in root.rglob("*") if p.is_file())))
    content = file.read_bytes()
    how = data.draw(st.sampled_from(["cut", "overwrite", "replace", "remove", "folder"]))
    if how == "cut":
        file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    elif how == "overwrite":
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        file.write_bytes(
            content[:at] + data.draw(st.binary(min_size=1, max_size=8)) + content[at + 8 :]
        )
    elif how == "replace":
        file.write_bytes(data.draw(st.binary(max_size=40)))
    else:
        file.unlink()
        if how == "folder":
            file.mkdir()
    reader = DATASETS.get(WRITERS[case][0])(root)
    scenes = fine(reader.scenes, list) or []
    for scene in scenes[:1]:
        for frame in (fine(lambda s=scene: reader.frames(s), list) or [])[:3]:
            fine(lambda s=scene, f=frame: reader.read(s, f), Frame)


@cache
def golden() -> tuple[tuple[str, dict], ...]:
    cases = [
        (p.stem, json.loads(p.read_text()))
        for p in sorted((ROOT / "tests" / "golden").glob("*.json"))
    ]
    small = [c for c in cases if c[1].get("kind") in ("method", "protocol")]
    return tuple(small or cases)


@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_a_changed_golden_file_is_checked_or_refused(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    name, case = data.draw(st.sampled_from(golden()))
    changed = copy.deepcopy(case)
    where = changed
    key = data.draw(st.sampled_from(sorted(changed)))
    while isinstance(where[key], dict) and where[key] and data.draw(st.booleans()):
        where = where[key]
        key = data.draw(st.sampled_from(sorted(where)))
    if data.draw(st.booleans()):
        where[key] = data.draw(VALUES)
    else:
        del where[key]
    (folder / f"{name}.json").write_text(json.dumps(changed))
    (folder / f"{name}.npz").write_bytes((ROOT / "tests" / "golden" / f"{name}.npz").read_bytes())
    fine(lambda: check_file(folder / f"{name}.json"), tuple)


@QUICK
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5)
        ),
        max_size=5,
    ),
    st.integers(0, 40),
)
def test_records_cut_anywhere_keep_what_was_whole(tmp_path, rows, cut):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = read_jsonl(path)
    assert kept == rows[: len(kept)]
    append_jsonl(path, {"new": 1})
    assert read_jsonl(path)[-1] == {"new": 1}


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(["name", "dataset", "origin", "frames_by", "sha256", "lists", "more"]),
        VALUES,
    )
)
def test_any_frame_list_is_whole_or_refused(tmp_path, raw):
    (tmp_path / "mine.json").write_text(json.dumps(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_lists, "FOLDER", tmp_path)
        patch.setattr(frame_lists, "NAMES", ("mine",))
        frame_lists.load_list.cache_clear()
        fine(lambda: frame_lists.load_list("mine"), frame_lists.FrameList)
    frame_lists.load_list.cache_clear()


@QUICK
@given(st.integers(1, 60), st.integers(1, 80))
def test_chosen_frames_are_frames_in_order(there, wanted):
    frames = [str(i) for i in range(there)]
    for rule in ("run", "stride"):
        made = frame_lists.FrameList(
            name="m", dataset="scannet", origin="", frames_by=rule, sha256="", lists={"s": None}
        )
        chosen = fine(lambda m=made: frame_lists.chosen_frames(m, "s", frames, wanted), list)
        if chosen is not None:
            assert [int(c) for c in chosen] == sorted({int(c) for c in chosen})
            assert len(chosen) <= wanted


def test_no_pickle_is_ever_opened(tmp_path):
    """What unpickling would run is never run, in weights, arrays and bundles alike."""
    import pickle

    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harmed",)

    data = pickle.dumps(Harmful())
    for name, call in (
        ("a.pt", read_state_dict),
        ("a.npz", read_npz),
        ("a.bin", read_state_dict),
        ("a.parquet", read_table),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(Bench3RError):
            call(path)
    np.savez(tmp_path / "object.npz", x=np.array([Harmful()], dtype=object))
    with pytest.raises(Bench3RError):
        read_npz(tmp_path / "object.npz")
    assert not (tmp_path / "harmed").exists()
