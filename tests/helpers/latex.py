"""LaTeX documents of one and of two columns, compiled where pdflatex is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed, so no table is compiled"
)
CLASS = {1: "10pt", 2: "10pt,twocolumn"}
PREAMBLE = r"""\documentclass[%s]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[%s]{geometry}
\usepackage{booktabs,array,graphicx,longtable}
\setlength{\columnsep}{14pt}
\extrafloats{200}\maxdeadcycles=500
\begin{document}
%s
\end{document}
"""
WIDTH = "textwidth=516pt,textheight=690pt"


def compiled(parts: list[str], columns: int, folder: Path) -> str:
    """The log of a document that holds ``parts``; fails with LaTeX's own message."""
    body = "\n\\clearpage\n".join(f"Text.\n{part}" for part in parts)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"columns{columns}.tex"
    source.write_text(PREAMBLE % (CLASS[columns], WIDTH, body))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", source.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def too_wide(log: str, points: float = 2.0) -> list[str]:
    """Lines of a log about boxes that stand out by more than ``points``."""
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)[^\n]*", log)
    return [width for width in found if float(width) > points]
