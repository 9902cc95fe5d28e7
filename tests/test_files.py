"""Files that survive a kill, and hashes of what code does."""

from __future__ import annotations

import numpy as np
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.files import (
    append_jsonl,
    code_digest,
    read_json,
    read_jsonl,
    read_npz,
    write_atomic,
    write_json,
    write_npz,
)


def test_a_half_written_line_is_left_out_and_closed(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_jsonl(path, {"a": 1})
    with path.open("ab") as file:
        file.write(b'{"a": 2, "b"')  # a writer was killed here
    append_jsonl(path, {"a": 3})
    assert read_jsonl(path) == [{"a": 1}, {"a": 3}]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def fail(file):
        file.write(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_records_never_hold_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_jsonl(tmp_path / "x.jsonl", {"a": float("nan")})


def test_damaged_archives_are_named(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(path, {"a": np.arange(1000)})
    np.testing.assert_array_equal(read_npz(path)["a"], np.arange(1000))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Bench3RError, match=r"x\.npz: damaged"):
        read_npz(path)
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    with pytest.raises(Bench3RError, match=r"object\.npz"):
        read_npz(tmp_path / "object.npz")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(Bench3RError, match=r"x\.json: not valid JSON"):
        read_json(tmp_path / "x.json")


def test_code_is_hashed_by_what_it_does(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('"""Text."""\n\nclass A:\n    """Text."""\n\n    label = "a"\n    x = 1\n')
    before = code_digest([tmp_path])
    shown = code_digest([tmp_path], frozenset({"label"}))
    file.write_text("# longer\nclass A:\n    label = 'a'  # quotes and comments\n\n    x = 1\n")
    assert code_digest([tmp_path]) == before
    file.write_text("class A:\n    label = 'b'\n    x = 1\n")
    assert code_digest([tmp_path]) != before
    assert code_digest([tmp_path], frozenset({"label"})) == shown
    file.write_text("class A:\n    label = 'b'\n    x = 2\n")
    assert code_digest([tmp_path], frozenset({"label"})) != shown


def test_names_and_other_sources_count_as_they_are(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "a.yaml").write_text("x: 1\n")
    before = code_digest([tmp_path])
    (tmp_path / "a.yaml").write_text("x: 1  # text\n")
    assert code_digest([tmp_path]) != before
    (tmp_path / "a.yaml").write_text("x: 1\n")
    assert code_digest([tmp_path]) == before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert code_digest([tmp_path]) != before
    (tmp_path / "b.py").write_text("this is no Python\n")
    assert len(code_digest([tmp_path])) == 12
