"""Bundles of a run: whole, verified, never overwritten."""

from __future__ import annotations

import shutil
import zipfile

import pandas as pd
import pytest

from bench3r.api.errors import Bench3RError
from bench3r.exchange import bundle
from bench3r.exchange.source import read_table


def test_bundles_are_verified(finished, tmp_path):
    folder, plan = finished
    path = tmp_path / "one.zip"
    manifest = bundle.export(plan, path)
    assert manifest.missing == []
    assert bundle.verify(path).run == "one"
    pd.testing.assert_frame_equal(read_table(path), read_table(folder / "results" / "one"))
    with pytest.raises(Bench3RError, match="never overwritten"):
        bundle.export(plan, path)
    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(
                name,
                data.replace(b'"status": "ok"', b'"status": "OK"')
                if name.startswith("score/")
                else data,
            )
    with pytest.raises(Bench3RError, match="files are changed: score/"):
        read_table(forged)
    shutil.copy(path, forged)
    with zipfile.ZipFile(forged, "a") as extra:
        extra.writestr("more.txt", "x")
    with pytest.raises(Bench3RError, match=r"not listed: more\.txt"):
        bundle.verify(forged)
    (tmp_path / "no.zip").write_text("no bundle")
    with pytest.raises(Bench3RError, match="not a bundle"):
        bundle.verify(tmp_path / "no.zip")
