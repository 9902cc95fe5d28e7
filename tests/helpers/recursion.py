"""A schedule that routes by a given depth map."""

from __future__ import annotations

from bench3r.recursion.packed import deeper_than
from bench3r.recursion.schedule import RecursiveSchedule, Routing


class FixedDepth(RecursiveSchedule):
    """Routes by a given depth map."""

    def __init__(self, trunk, sharing, depth, cache=None):
        super().__init__(trunk, sharing, int(depth.max()), "average")
        self.depth, self.cache_class = depth, cache

    def route(self, inputs):
        return Routing(self.depth, self.max_depth)

    def select(self, routing, recursion, x, before):
        return deeper_than(routing.depth, recursion, before.layout)

    def key_values(self, routing):
        return self.cache_class() if self.cache_class else None
