"""What papers claim, and what this run and the papers' own numbers say about it.

``claims.yaml`` holds the claims, ``ledger.py`` reads it. ``rules.py`` and ``rules_here.py``: how a
verdict may be found; ``decide.py``: the tests; ``corrections.py``: families of them;
``verdict.py``: what every verdict states. ``arithmetic.py``: from a paper's own numbers;
``published.py``: from the closed form of FLOPs; ``directions.py`` and ``depths.py``: from what a
run shows, which ``here.py`` finds; ``reproduction.py``, ``ratios.py`` and ``findings.py``: from
records under the paper's own conditions, which ``lookup.py`` finds, or ``conditions.py`` says what
is missing.
"""
