"""VGGT as published: every pair on every token, dense attention.

The reference of the methods that change it.
"""

from bench3r.api.method import Method


class VGGTMethod(Method):
    """The unchanged backbone."""

    name = "vggt"
    label = "VGGT"
    kind = "backbone"
    backbones = ("vggt",)
    source = "Wang et al., VGGT: Visual Geometry Grounded Transformer, CVPR 2025"
