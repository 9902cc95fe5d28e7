"""MACs of a recursive trunk in closed form, from the patches that every recursion computes."""

from __future__ import annotations

from bench3r.api.cost import BackboneCost
from bench3r.recursion.sharing import Sharing

# share of patches at recursion depth 1 to 4 as published, averaged over three scene types
USUAL_DEPTHS = (0.387, 0.315, 0.21733333333333335, 0.08066666666666666)
USUAL = "recursion depths of SpatialMoR's Table V, averaged over scene types"


def assumed_depths(unchanged: BackboneCost) -> tuple[tuple[float, ...], str]:
    """Shares of patches per recursion depth that a count without content stands on.

    And where they come from.
    """
    if unchanged.depth_shares:
        return unchanged.depth_shares, unchanged.assumed
    return USUAL_DEPTHS, USUAL


def recursion_macs(
    active: list[float],
    *,
    group: int,
    frames: int,
    patches: int,
    special: int,
    dim: int,
    keys_of_all: bool,
    keys_once: bool = False,
) -> tuple[float, float]:
    """Frame and global blocks of ``group`` shared pairs, of width ``dim``.

    Recursion r computes a share ``active[r]`` of the ``patches`` of a view. The active patches are
    taken to be spread evenly over the ``frames``: exact for equal counts per view. ``special``
    tokens of a view always take part. ``keys_of_all``: attention sees all tokens; ``keys_once``:
    only the first recursion makes keys and values. Routers and caches are left out.
    """
    within = 0.0
    across = 0.0
    for recursion, share in enumerate(active):
        tokens = special + share * patches  # of a view
        seen = special + patches if keys_of_all else tokens
        linear = (10.0 if keys_once and recursion else 12.0) * dim**2 * frames * tokens
        within += group * (linear + 2 * dim * frames * tokens * seen)
        across += group * (linear + 2 * dim * frames**2 * tokens * seen)
    return within, across


def recursive_parts(
    unchanged: BackboneCost,
    sharing: Sharing,
    active: list[float],
    keys_of_all: bool,
    keys_once: bool = False,
) -> dict[str, float]:
    """The parts when recursion r of a shared group computes a share ``active[r]`` of the patches.

    Unshared pairs run on everything. ``keys_once``: only the first recursion makes keys and values.
    """
    parts = unchanged.with_pairs(sum(sharing.unshared))
    patches = unchanged.tokens - unchanged.special
    within, across = recursion_macs(
        active,
        group=sharing.group,
        frames=unchanged.frames,
        patches=patches,
        special=unchanged.special,
        dim=unchanged.dim,
        keys_of_all=keys_of_all,
        keys_once=keys_once,
    )
    parts["frame_blocks"] += within
    parts["global_blocks"] += across
    return parts


def deeper_shares(depths: tuple[float, ...], deepest: int) -> list[float]:
    """Share of the patches that recursion 1 to ``deepest`` computes.

    ``depths``: the shares that stop at each recursion depth.
    """
    return [sum(depths[r:]) for r in range(min(deepest, len(depths)))]
