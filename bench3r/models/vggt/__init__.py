"""VGGT."""
