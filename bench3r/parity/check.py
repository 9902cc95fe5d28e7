"""Parity with official code: compute what a golden file describes and compare every array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from torch import Tensor

from bench3r.api.errors import Bench3RError, unknown
from bench3r.api.method import METHODS
from bench3r.api.registry import LIBRARY, Registry, instance_of
from bench3r.parity.golden import INPUT, Check, Golden, Part, Tolerance, Value, read_golden

CHECKS: Registry[Check] = Registry(
    "parity check",
    LIBRARY / "parity" / "checks",
    "bench3r.parity.checks",
    instance_of(Check),
)
# what a damaged description makes code raise that was written for a sound one
BROKEN = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
)


class Row(NamedTuple):
    """The verdict on one array."""

    array: str
    error: str
    tolerance: str
    verdict: str


def check_of(golden: Golden) -> Check:
    """How the arrays of ``golden`` are computed.

    Raises Bench3RError where nothing here computes them.
    """
    case = golden.case
    checks = [c for c in CHECKS.all().values() if c.kind == case.kind]
    known = {word: check for check in checks for word in check.golden}
    if case.kind == "method":
        for word, check in known.items():
            if f"{case.name}_".startswith(f"{word}_"):
                return check
        raise unknown("operation", case.name, known, str(golden.path))
    if case.kind == "model":
        if case.model not in known:
            raise unknown("model", case.model, known, str(golden.path))
        return known[case.model]
    number = re.match(r"\s*(\d+)\s*:", case.protocol)
    if number is None or number[1] not in known:
        last = max(int(word) for word in known)
        raise Bench3RError(
            f"{golden.path}: protocol {case.protocol!r} is unknown: "
            f"expected a number from 1 to {last}"
        )
    return known[number[1]]


def outputs(golden: Golden) -> dict[str, np.ndarray]:
    """The arrays [...] of ``golden``, computed by this implementation.

    Raises Bench3RError for cases that nothing here computes and for descriptions that lack a key.
    """
    check = check_of(golden)
    missing = [key for key in check.needs if key not in golden.case.model_fields_set]
    if missing:
        raise Bench3RError(f"{golden.path}: golden file without {', '.join(missing)}")
    for part in get_args(Part):
        given = getattr(golden.case, part)
        if given and part not in check.reads:
            names = ", ".join(given)
            raise Bench3RError(f"{golden.path}: unknown {part} {names}: {check.name} has no {part}")
    if check.method:
        module = METHODS.module(METHODS.file_of(check.method))
        golden = replace(golden, operations=module)
    try:
        found = check.outputs(golden)
    except BROKEN as error:
        raise Bench3RError(
            f"{golden.path}: cannot be recomputed from its description "
            f"({type(error).__name__}: {error})"
        ) from error
    return {name: _as_array(value) for name, value in found.items() if value is not None}


def _as_array(value: Value) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def tolerance_of(array: str, tolerances: Sequence[Tolerance], where: str) -> Tolerance:
    """The first tolerance whose pattern fits the name ``array``.

    Raises Bench3RError without one.
    """
    for tolerance in tolerances:
        if fnmatchcase(array, tolerance.arrays):
            return tolerance
    raise Bench3RError(f"{where}: no tolerance for array {array!r}")


def judge(ours: np.ndarray, official: np.ndarray, tolerance: Tolerance) -> tuple[float, bool]:
    """The error of ``ours`` against ``official``, both [...], and whether it is tolerated."""
    if ours.shape != official.shape:
        return float("inf"), False
    if tolerance.metric == "ignore":
        return float(np.abs(ours.astype(np.float64) - official).max()), True
    if tolerance.metric == "equal":
        differing = float((ours != official).sum() / max(1, official.size))
        return differing, bool(np.array_equal(ours, official))
    a = ours.astype(np.float64)
    b = official.astype(np.float64)
    if tolerance.metric == "relnorm":
        error = float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-300))
        return error, error <= tolerance.tol
    if tolerance.metric == "log_close":
        error = float(np.abs(np.log(a) - np.log(b)).max())
        return error, error <= tolerance.atol
    return _closeness(a, b, tolerance)


def _closeness(a: np.ndarray, b: np.ndarray, tolerance: Tolerance) -> tuple[float, bool]:
    """Largest difference, and whether few enough elements differ by too much; NaN equals NaN."""
    if not b.size:
        return 0.0, True
    same_nan = np.isnan(a) == np.isnan(b)
    difference = np.where(np.isnan(b), 0, np.abs(a - b))
    allowed = tolerance.atol + tolerance.rtol * np.abs(np.nan_to_num(b))
    missed = ~same_nan | ~(difference <= allowed)
    largest = float(np.nanmax(difference, initial=0))
    return largest, bool(missed.mean() <= tolerance.allow_fraction)


def check_file(path: Path) -> tuple[list[Row], bool]:
    """The verdict on every array of the golden file ``path`` and whether all passed.

    Raises Bench3RError for a file that does not describe itself fully.
    """
    golden = read_golden(path)
    ours = outputs(golden)
    rows: list[Row] = []
    passed = True
    for name, official in golden.arrays.items():
        if name.startswith(INPUT):
            continue
        tolerance = tolerance_of(name, golden.case.tolerances, str(path))
        error = float("nan")
        good = False
        if name in ours:
            error, good = judge(ours[name], official, tolerance)
        verdict = "pass" if good else "FAIL"
        if tolerance.metric == "ignore":
            verdict = "not judged"
        passed &= verdict != "FAIL"
        rows.append(Row(name, f"{error:.2e}", tolerance.text(), verdict))
    return rows, passed
