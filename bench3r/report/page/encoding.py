"""Numbers, pictures and text in the form in which the page holds them."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import DTypeLike
from PIL import Image

STEPS = 65535  # of a quantised number
INTERVAL = re.compile(r"(\[[-+\N{MINUS SIGN}\d.,e% ]+\])")
MARK = re.compile(r" (?=[†‡≈])")  # marks stay with what they mark
MINUS = re.compile(r"(?<![\w.-])-(?=\d)")
WIDEST = 1200  # pixels of a picture


class Quantised(TypedDict):
    """Numbers [N, C] as 16 bit steps between the smallest and the largest of each column."""

    low: list[float]  # [C]
    step: list[float]  # [C]
    data: str  # base64 of uint16 [N, C]


def packed(values: np.ndarray, kind: DTypeLike = np.float32) -> str:
    """Numbers of any shape, e.g. [N, C], as base64 of ``kind`` in C order."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def quantised(values: np.ndarray) -> Quantised:
    """Numbers [N, C] as :class:`Quantised`."""
    low = values.min(0)
    step = np.maximum(values.max(0) - low, 1e-12) / STEPS
    steps = np.round((values - low) / step)
    return {"low": low.tolist(), "step": step.tolist(), "data": packed(steps, np.uint16)}


def picture(path: Path) -> str:
    """A figure as base64 WebP, at most :data:`WIDEST` pixels wide."""
    out = io.BytesIO()
    with Image.open(path) as image:
        plain = image.convert("RGB")
        if plain.width > WIDEST:
            height = round(plain.height * WIDEST / plain.width)
            plain = plain.resize((WIDEST, height), Image.Resampling.LANCZOS)
        plain.save(out, "WEBP", quality=60, method=2)
    return base64.b64encode(out.getvalue()).decode()


def cell_html(text: object) -> str:
    """Markdown's bold, emphasis and code of a cell, and intervals, as HTML; all else is escaped."""
    out = html.escape(str(text))
    out = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", out)
    out = re.sub(r"`(.+?)`", r"<code>\1</code>", out)
    out = INTERVAL.sub(r'<span class="ci">\1</span>', out)
    out = MARK.sub("\N{NO-BREAK SPACE}", out)
    out = MINUS.sub("\N{MINUS SIGN}", out)
    return re.sub(r"(?<!\w)_(\S[^_]*?)_(?!\w)", r"<em>\1</em>", out)


def finite(value: object) -> object:
    """``value`` with None in place of numbers that JSON does not know."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def slug(name: str) -> str:
    """``name`` as the end of an element's id, which links can lead to."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-")
