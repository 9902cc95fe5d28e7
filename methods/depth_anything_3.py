"""Depth-Anything-3 as published: every pair on every token, dense attention.

The reference of the methods that change it.
"""

from bench3r.api.method import Method


class DepthAnything3Method(Method):
    """The unchanged backbone."""

    name = "depth_anything_3"
    label = "Depth-Anything-3"
    kind = "backbone"
    backbones = ("depth_anything_3",)
    source = "Lin et al., Depth Anything 3: Recovering the Visual Space from Any Views, 2025"
