"""Published frame lists are what they were, and choose scenes and frames."""

from __future__ import annotations

import pytest

from bench3r.api.dataset import DATASETS
from bench3r.api.errors import Bench3RError
from bench3r.data.frame_lists import NAMES, chosen_frames, load_list, scene_names

PLACES = [str(n) for n in range(1000)]


@pytest.mark.parametrize("name", NAMES)
def test_frame_lists_are_what_they_were(name):
    found = load_list(name)
    assert found.name == name
    assert found.origin
    assert DATASETS.get(found.dataset).name == found.dataset
    assert len(found.lists) >= 5


def test_lists_choose_the_scenes_that_are_there():
    wanted = load_list("pi3_7scenes_kf200")
    there = ["chess/seq-01", "chess/seq-03", "office/seq-09"]
    chosen = {"chess/seq-03": "chess/seq-03", "office/seq-09": "office/seq-09"}
    assert scene_names(wanted, there) == chosen
    with pytest.raises(Bench3RError, match="none of its 18 scenes is there"):
        scene_names(wanted, ["kitchen"])


def test_frames_are_chosen_by_the_number_in_their_name():
    wanted = load_list("pi3_7scenes_kf200")
    frames = [f"frame-{n:06d}" for n in range(1000)]
    assert chosen_frames(wanted, "chess/seq-03", frames, 0)[:2] == ["frame-000000", "frame-000200"]
    with pytest.raises(Bench3RError, match="has no frame 200"):
        chosen_frames(wanted, "chess/seq-03", frames[:100], 0)


def test_frames_are_chosen_by_place_in_the_lists_order():
    wanted = load_list("pi3_co3dv2_seed42")
    sequence = next(iter(wanted.lists))
    assert scene_names(wanted, [f"apple/{sequence}"]) == {sequence: f"apple/{sequence}"}
    assert chosen_frames(wanted, sequence, PLACES, 0) == [str(n) for n in wanted.lists[sequence]]
    with pytest.raises(Bench3RError, match="has 1 frames, place"):
        chosen_frames(wanted, sequence, PLACES[:1], 0)


def test_a_stride_keeps_the_first_frame():
    official = load_list("fastvggt_scannet_50")
    assert chosen_frames(official, "scene0000_00", PLACES[:237], 100)[:3] == ["0", "1", "3"]
