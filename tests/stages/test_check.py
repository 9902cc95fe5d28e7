"""The contract test of a method."""

from __future__ import annotations

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.stages.check import check_method
from tests.conftest import ROOT


def test_the_contract_test_accepts_ours_and_refuses_the_broken(tmp_path):
    for name in ("vggt", "oracle", "trivial"):
        lines = list(check_method(ROOT / "methods" / f"{name}.py"))
        assert "reconstructs 3 views" in lines[-1]
    bad = tmp_path / "nan_method.py"
    bad.write_text(
        "import torch\nfrom bench3r.api.method import Method\n\n\nclass Nan(Method):\n    name = 'nan_method'\n    label = 'NaN'\n"
        "    kind = 'control'\n\n    def build(self, context):\n        from bench3r.api.reconstruction import Reconstruction\n\n"
        "        return lambda images: Reconstruction(*[torch.full((1, 3, *s), float('nan')) for s in "
        "[(3, 4), (3, 3), (72, 96), (72, 96)]])\n"
    )
    with pytest.raises(Bench3RError, match="NaN or infinity"):
        list(check_method(bad))


def test_the_method_in_the_readme_works(tmp_path):
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "late_global.py").write_text(code)
    lines = list(check_method(tmp_path / "late_global.py"))
    assert [line.split(": reconstructs 3 views")[0] for line in lines[-3:]] == [
        "depth_anything_3",
        "pi3",
        "vggt",
    ]
