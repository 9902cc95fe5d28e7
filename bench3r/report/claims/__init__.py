"""What papers claim, and what this run and the papers' own numbers say about it.

``claims.yaml`` holds the claims, ``ledger.py`` reads it. ``rules.py``: how a verdict may be found;
``arithmetic.py``: from a paper's own numbers; ``measured.py``: from the direction that the records
of a run show; ``reproduction.py`` and ``findings.py``: from records under the paper's own
conditions, which ``lookup.py`` finds or says what is missing.
"""
