"""Recursion over shared blocks with a depth of its own for every patch: the engine under MoR and SpatialMoR."""
