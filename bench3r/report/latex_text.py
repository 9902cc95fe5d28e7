"""Text, captions and heads of tables in LaTeX."""

from __future__ import annotations

import re
import textwrap
import unicodedata

import pandas as pd

CAPTION = 200  # letters that a caption stays below
UNITS = ("%", " %", " x", " s", " ms", " GB", " MB", " G")  # that move from cells to the head
NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
NO_VALUE = ("", "–", "-", "nan")

ESCAPED = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "`": "",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "…": r"\ldots{}",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "∈": r"$\in$",
    "°": r"$^\circ$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "¹": "$^1$",
    "²": "$^2$",
    "³": "$^3$",
    "₀": "$_0$",
    "₁": "$_1$",
    "₂": "$_2$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "Δ": r"$\Delta$",
    "ε": r"$\varepsilon$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "µ": r"$\mu$",
    "π": r"$\pi$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "Σ": r"$\Sigma$",
    "τ": r"$\tau$",
    "φ": r"$\varphi$",
    "ω": r"$\omega$",
    "Ω": r"$\Omega$",
}
WIDTHS = {"digit": 4.3, "upper": 6.2, "space": 2.9, "narrow": 2.7, "other": 4.2}  # 8 pt letters
NARROW = set(".,:;()[]|!'ijlt")
HEAD = 16  # letters of a line of a head
LONG = 14  # letters of a word that may break after a dot, slash or underscore
LATIN = re.compile(r"[\u00c0-\u017f]")  # letters with accents, which LaTeX reads as they are


def latex_text(text: object) -> str:
    """Markdown text as LaTeX: bold, underlined second best, a real minus, escaped characters."""
    words = re.sub(r'"([^"]*)"', "“\\1”", str(text))
    words = re.sub(r"(?<![\w.)\]])-(?=\.?\d)", "−", words)
    escaped = "".join(map(_letter, words))
    escaped = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", escaped)
    return re.sub(r"(?<!\w)\\_(\S[^_]*?)\\_(?!\w)", r"\\underline{\1}", escaped)


def _letter(letter: str) -> str:
    """One character; what LaTeX has no sign for becomes its nearest plain letters."""
    if letter in ESCAPED:
        return ESCAPED[letter]
    if letter.isascii() or LATIN.match(letter):
        return letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return "".join(ESCAPED.get(c, c) for c in plain) or "?"


def breakable(text: object) -> str:
    """As :func:`latex_text`, with places where long words may break."""
    words = str(text).split(" ")
    return " ".join(r"\allowbreak{}".join(map(latex_text, pieces(word))) for word in words)


def pieces(text: str) -> list[str]:
    """The words of ``text``; long ones in the parts that they may break into."""
    found: list[str] = []
    for word in text.split():
        found += re.findall(r".+?(?:[_./](?=\w)|$)", word) if len(word) > LONG else [word]
    return found


def in_lines(head: object) -> list[str]:
    """A head in the lines that it takes, its unit on one of its own."""
    name, bracket, unit = str(head).partition(" (")
    lines = textwrap.wrap(name, HEAD, break_long_words=False) or [""]
    return [*lines, f"({unit}"] if bracket else lines


def stacked(head: object) -> str:
    """A head as LaTeX in several lines."""
    lines = list(map(latex_text, in_lines(head)))
    if len(lines) == 1:
        return lines[0]
    return "\\shortstack{" + " \\\\ ".join(lines) + "}"


def points(text: object) -> float:
    """About how wide ``text`` is in 8 pt letters, without its marks for bold and emphasis."""
    plain = re.sub(r"\*\*|`|(?<!\w)_|_(?!\w)", "", str(text))
    return sum(WIDTHS[_kind(letter)] for letter in plain)


def _kind(letter: str) -> str:
    if letter.isdigit():
        return "digit"
    if letter == " ":
        return "space"
    if letter in NARROW:
        return "narrow"
    wide = letter.isupper() or letter in "mw%+-<>=_" or not letter.isascii()
    return "upper" if wide else "other"


def short_caption(title: str, caption: str) -> str:
    """The title and as many sentences of ``caption`` as stay below the limit, in Markdown."""
    text = title if title.endswith((".", "?", "!")) else f"{title}."
    if len(text) >= CAPTION:
        return text[: CAPTION - 2].rsplit(" ", 1)[0] + "…"
    for sentence in re.split(r"(?<=[.!?])\s+", caption.strip()):
        if not sentence or len(text) + 1 + len(sentence) >= CAPTION:
            break
        text += f" {sentence}"
    return text


def units_in_heads(shown: pd.DataFrame) -> pd.DataFrame:
    """``shown`` with units that every number of a column has in its head, once."""
    out = shown.copy()
    heads = []
    for place, head in enumerate(map(str, shown.columns)):
        cells = shown.iloc[:, place].astype(str)
        unit = next((unit for unit in UNITS if _all_have(cells, unit)), "")
        if unit and place:
            pattern = f"({NUMBER}){re.escape(unit)}(?![\\w%])"
            out.isetitem(place, cells.str.replace(pattern, r"\1", regex=True))
        heads.append(f"{head} ({unit.strip()})" if unit and place else head)
    out.columns = pd.Index(heads)
    return out


def _all_have(cells: pd.Series, unit: str) -> bool:
    """Whether every number of ``cells`` is followed by ``unit``, and there is one."""
    known = [cell for cell in cells if cell.strip() not in NO_VALUE]
    followed = re.compile(f"{NUMBER}{re.escape(unit)}(?![\\w%])")
    counts = [(len(re.findall(NUMBER, cell)), len(followed.findall(cell))) for cell in known]
    return bool(counts) and all(numbers == with_unit > 0 for numbers, with_unit in counts)
