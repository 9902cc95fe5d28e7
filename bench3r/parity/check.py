"""Parity with official code: rebuild what a golden file describes, compare every array, obey its gates.

A golden file is FILE.json (what is computed, with which parameters, and the gates) and FILE.npz (the arrays).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from bench3r.api.errors import Bench3RError, describe
from bench3r.files import read_json, read_npz

REQUIRED: dict[str, tuple[str, ...]] = {
    "model": ("outputs", "config", "tensors"),
    "method": ("parameters",),
    "protocol": ("protocol",),
}
ALIGNERS: dict[str, tuple[str, ...]] = {
    "dust3r-global-aligner": ("outputs", "edges")
}  # models without a network


class Gate(BaseModel):
    """What one pattern of array names has to fulfil; more keys, such as reasons, may stand beside these."""

    arrays: str
    metric: Literal["close", "equal", "relnorm", "log_close", "ignore"]
    atol: float = 0.0
    rtol: float = 0.0
    tol: float = 0.0
    allow_fraction: float = 0.0


class Case(BaseModel):
    """The head of a golden file."""

    kind: Literal["model", "method", "protocol"]
    gates: list[Gate]


def outputs(
    case: dict[str, Any], arrays: dict[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """The arrays of any kind of case. Raises Bench3RError for kinds and models that are not implemented."""
    if case["kind"] == "method":
        from bench3r.parity.methods import method_outputs

        return method_outputs(case, arrays, where)
    if case["kind"] == "protocol":
        from bench3r.parity.metrics import metric_outputs

        return metric_outputs(case, arrays, where)
    from bench3r.parity.models import model_outputs

    return model_outputs(case, arrays, where)


def gate_for(name: str, gates: list[dict[str, Any]], where: str) -> dict[str, Any]:
    """The first gate whose pattern fits ``name``."""
    for gate in gates:
        if fnmatchcase(name, gate["arrays"]):
            return gate
    raise Bench3RError(f"{where}: no gate for array {name!r}")


def judge(ours: np.ndarray, truth: np.ndarray, gate: dict[str, Any]) -> tuple[float, bool]:
    """The error that ``gate`` speaks about and whether it passes."""
    metric = gate["metric"]
    if ours.shape != truth.shape:
        return float("inf"), False
    if metric == "equal":
        return float((ours != truth).sum() / max(1, truth.size)), bool(np.array_equal(ours, truth))
    a, b = ours.astype(np.float64), truth.astype(np.float64)
    if metric == "relnorm":
        error = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-300))
        return error, error <= gate.get("tol", 0.0)
    if metric == "log_close":
        error = float(np.abs(np.log(a) - np.log(b)).max())
        return error, error <= gate.get("atol", 0.0)
    assert metric == "close"
    if not b.size:
        return 0.0, True
    same_nan = np.isnan(a) == np.isnan(b)
    difference = np.where(np.isnan(b), 0, np.abs(a - b))
    missed = ~same_nan | ~(
        difference <= gate.get("atol", 0.0) + gate.get("rtol", 0.0) * np.abs(np.nan_to_num(b))
    )
    return float(np.nanmax(difference, initial=0)), bool(
        missed.mean() <= gate.get("allow_fraction", 0.0)
    )


def gate_text(gate: dict[str, Any]) -> str:
    """A gate in words."""
    limits = {k: gate[k] for k in ("atol", "rtol", "tol", "allow_fraction") if k in gate}
    return " ".join([gate["metric"], *(f"{k} {v:g}" for k, v in limits.items())])


def read_case(path: Path) -> dict[str, Any]:
    """The description in the golden file ``path``. Raises Bench3RError naming the key that is missing or wrong."""
    case = read_json(path)
    try:
        head = Case.model_validate(case)
    except ValidationError as error:
        raise describe(error, str(path)) from error
    required = ALIGNERS.get(str(case.get("model")), REQUIRED[head.kind])
    missing = [k for k in required if k not in case]
    if missing:
        raise Bench3RError(f"{path}: golden file without {', '.join(missing)}")
    return {**case, "gates": [g.model_dump(exclude_unset=True) for g in head.gates]}


def check_file(path: Path) -> tuple[list[list[str]], bool]:
    """Rows (array, error, gate, verdict) for every array of the golden file ``path`` and whether all passed.

    Raises Bench3RError for a file that does not describe itself fully.
    """
    case, truth = read_case(path), read_npz(path.with_suffix(".npz"))
    try:
        ours = outputs(case, truth, str(path))
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
    ) as broken:
        raise Bench3RError(
            f"{path}: cannot be recomputed from its description ({type(broken).__name__}: {broken})"
        ) from broken
    rows, passed = [], True
    for name in (n for n in truth if not n.startswith("in_")):
        gate = gate_for(name, case["gates"], str(path))
        if name not in ours:
            good, error = gate["metric"] == "ignore", float("nan")
        elif gate["metric"] == "ignore":
            good, error = True, _largest(ours[name], truth[name])
        else:
            error, good = judge(ours[name], truth[name], gate)
        passed &= good
        verdict = "not gated" if gate["metric"] == "ignore" else "pass" if good else "FAIL"
        rows.append([name, f"{error:.2e}", gate_text(gate), verdict])
    return rows, passed


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else float("inf")
