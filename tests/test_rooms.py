"""The core names no method: what a method brings stands in its own file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench3r.models.catalogue import NETWORKS
from bench3r.protocols import PROTOCOLS
from tests.conftest import ROOT

CORE = ROOT / "bench3r"
METHODS = {p.stem for p in (ROOT / "methods").glob("*.py") if not p.stem.startswith("_")}
NETWORK_NAMES = set(NETWORKS.all())
# Golden files are of official code: a check has the name of what it checks.
GOLDEN = CORE / "parity"
# Conventions of poses and intrinsics, which are called after the papers that use them.
CONVENTIONS = {"pi3", "vggt"}
CONVENTIONAL = {
    "api/scene.py",
    "metrics/pose.py",
    "protocols/relpose_pi3.py",
    "protocols/relpose_vggt.py",
    "run/config_sections.py",
    "run/plan.py",
}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every string in a file but its docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            docstrings.add(id(body[0].value))
    for node in ast.walk(tree):
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if text and id(node) not in docstrings:
            yield node.lineno, node.value


def allowed(path: Path) -> set[str]:
    """Names of methods that a file may hold, because they are names of something else there.

    A protocol may be called like the method whose paper defines it, and a network's folder holds
    the name of the network, after which the unchanged method is called.
    """
    names = set(PROTOCOLS.files())
    if path.is_relative_to(CORE / "models"):
        names |= NETWORK_NAMES
    if path.relative_to(CORE).as_posix() in CONVENTIONAL:
        names |= CONVENTIONS
    return names


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(CORE.rglob("*.py")) if not p.is_relative_to(GOLDEN)],
    ids=lambda path: str(path.relative_to(CORE)),
)
def test_no_file_of_the_core_names_a_method(path):
    wrong = METHODS - allowed(path)
    found = [f"line {line}: {text!r}" for line, text in strings(path) if text in wrong]
    assert not found, f"{path.relative_to(ROOT)}: {'; '.join(found)}"
