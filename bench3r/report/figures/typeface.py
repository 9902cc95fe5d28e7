"""The typeface of figures: matplotlib's own, the same on every machine, in a form quick to embed.

A PDF holds the letters that it uses. To cut them out of the whole DejaVu Sans takes most of a
second, so it is cut down once to what figures may need, and every figure takes from that.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib import font_manager

WHOLE = "DejaVu Sans"
CUT = "DejaVu Sans of figures"
RANGES = (  # of code points: Latin, Greek, punctuation, super- and subscripts, arrows, mathematics
    (0x20, 0x17F),
    (0x370, 0x3FF),
    (0x2010, 0x203A),
    (0x2070, 0x209C),
    (0x2190, 0x21FF),
    (0x2200, 0x22FF),
)
FAMILY_NAMES = (1, 4, 16)  # records of a font's name table


@cache
def families() -> list[str]:
    """The families of text: the cut typeface, and the whole one for letters that it lacks."""
    whole = font_manager.findfont(WHOLE)
    options = Options(layout_features=[], notdef_outline=True, recalc_timestamp=False)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "FFTM"]
    cutter = Subsetter(options)
    codes = [code for first, last in RANGES for code in range(first, last + 1)]
    with TTFont(whole, recalcTimestamp=False) as font:
        cutter.populate(unicodes=codes)
        cutter.subset(font)
        for record in font["name"].names:
            if record.nameID in FAMILY_NAMES:
                record.string = CUT
        folder = Path(tempfile.mkdtemp(prefix="bench3r-font-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        font.save(folder / "figures.ttf")
    font_manager.fontManager.addfont(folder / "figures.ttf")
    return [CUT, WHOLE]
