"""The contract test of a method."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench3r.api.errors import Bench3RError
from bench3r.api.method import METHODS
from bench3r.stages.check import check_method
from tests.conftest import ROOT


def test_the_contract_test_accepts_ours_and_refuses_the_broken(tmp_path):
    for name in ("vggt", "oracle", "trivial"):
        lines = list(check_method(ROOT / "methods" / f"{name}.py"))
        assert any("reconstructs 3 views" in line for line in lines)
    bad = tmp_path / "nan_method.py"
    bad.write_text(
        "import torch\nfrom bench3r.api.method import Method\n\n\nclass Nan(Method):\n    name = 'nan_method'\n    label = 'NaN'\n"
        "    kind = 'control'\n\n    def build(self, context):\n        from bench3r.api.reconstruction import Reconstruction\n\n"
        "        return lambda images: Reconstruction(*[torch.full((1, 3, *s), float('nan')) for s in "
        "[(3, 4), (3, 3), (72, 96), (72, 96)]])\n"
    )
    with pytest.raises(Bench3RError, match="NaN or infinity"):
        list(check_method(bad))


def test_a_method_is_checked_before_it_is_fine_tuned():
    said = "\n".join(check_method(ROOT / "methods" / "mor.py"))
    assert said.count("reconstructs 3 views") == 3
    assert said.count("MACs counted") == 3


def test_the_method_in_the_readme_works(tmp_path):
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "late_global.py").write_text(code)
    lines = list(check_method(tmp_path / "late_global.py"))
    reconstructed = [line for line in lines if "reconstructs 3 views" in line]
    assert [line.split(":")[0] for line in reconstructed] == ["depth_anything_3", "pi3", "vggt"]
    assert sum("MACs counted" in line for line in lines) == 3


COSTLY = '''"""Changes nothing and says what it costs."""
from bench3r.api.cost import Cost
from bench3r.api.method import Method


class Costly(Method):
    name = "costly"
    label = "costly"
    backbones = ("vggt",)

    def cost(self, unchanged):
        return Cost(unchanged.with_global(lambda a: {factor} * a.dense), {assumed!r})
'''


def lines_of(folder: Path, code: str) -> str:
    """What the contract test says of the method ``costly``."""
    path = folder / "costly.py"
    path.write_text(code)
    METHODS.forget()
    return "\n".join(check_method(path))


def test_a_closed_form_is_compared_with_the_count(tmp_path):
    said = lines_of(tmp_path, COSTLY.format(factor=1, assumed=""))
    counted, closed = re.findall(r"([0-9.,]+) M", said)[-2:]
    assert counted == closed
    with pytest.raises(Bench3RError, match=r"costly on vggt: .*1\.\d\d times.*`cost` is wrong"):
        lines_of(tmp_path, COSTLY.format(factor=3, assumed=""))
    with pytest.raises(Bench3RError, match=r"costly on vggt: .*0\.9\d times"):
        lines_of(tmp_path, COSTLY.format(factor=0.5, assumed=""))


def test_a_closed_form_with_an_assumption_has_more_room_and_says_so(tmp_path):
    said = lines_of(tmp_path, COSTLY.format(factor=1.2, assumed="half the keys are kept"))
    assert "assuming that half the keys are kept" in said
    with pytest.raises(Bench3RError, match="or what it assumes: half the keys are kept"):
        lines_of(tmp_path, COSTLY.format(factor=50, assumed="half the keys are kept"))


BUILT = '''"""A whole model that is VGGT."""
from bench3r.api.method import Method
from bench3r.models.backbones import load_backbone


class Whole(Method):
    name = "costly"
    label = "costly"
    kind = "model"
    backbones = ("vggt",)

    def build(self, context):
        model = load_backbone(context)
        return lambda images: model(images)
'''


def test_a_model_that_does_not_say_what_to_count_is_refused(tmp_path):
    with pytest.raises(
        Bench3RError, match=r"costly: what `build` returns has no `counted\(images\)`"
    ):
        lines_of(tmp_path, BUILT)
    counted = BUILT.replace("import load_backbone", "import BackbonePredictor")
    body = "model = load_backbone(context)\n        return lambda images: model(images)"
    said = lines_of(tmp_path, counted.replace(body, "return BackbonePredictor(self, context)"))
    assert "MACs counted, no closed form" in said


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(
        Bench3RError, match=r"costly\.py: the name 'vggt' is already taken by .*vggt\.py"
    ):
        lines_of(tmp_path, COSTLY.replace('"costly"', '"vggt"').format(factor=1, assumed=""))
