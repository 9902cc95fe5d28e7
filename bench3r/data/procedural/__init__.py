"""Procedural scenes: worlds, rendering, and writing them in official layouts."""
