"""Metrics are pure functions: their modules hold constants and nothing that changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench3r import metrics

FILES = sorted(Path(metrics.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_modules_hold_constants_only(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                assert isinstance(target, ast.Name), ast.unparse(node)
                assert target.id.isupper(), ast.unparse(node)
    assert not any(isinstance(node, ast.Global) for node in ast.walk(tree))
