"""π³ as published: every pair on every token, dense attention.

The reference of the methods that change it.
"""

from bench3r.api.method import Method


class Pi3Method(Method):
    """The unchanged backbone."""

    name = "pi3"
    label = "π³"
    kind = "backbone"
    backbones = ("pi3",)
    source = "Wang et al., π³: Permutation-Equivariant Visual Geometry Learning, 2025"
