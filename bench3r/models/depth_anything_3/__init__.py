"""Depth-Anything-3."""
