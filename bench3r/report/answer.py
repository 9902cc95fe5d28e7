"""The answer first: what a run found, in a few computed sentences and one small table."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from bench3r.report.evidence import RunEvidence
from bench3r.report.tables import Table

NAME = "answer"
TITLE = "What each method saves and what it loses"
ROWS = 8  # of the table, at most


class Answer(NamedTuple):
    """What stands on the first screen: three to five sentences, and a table of at most ROWS."""

    sentences: tuple[str, ...]
    table: Table


def answer_of(run: RunEvidence) -> Answer:
    """The answer that the records of ``run`` give."""
    sentences = (f"{len(run.table['method'].unique())} methods have records.",)
    empty = pd.DataFrame({"method": []})
    return Answer(sentences, Table(NAME, TITLE, "", empty, empty.copy()))
