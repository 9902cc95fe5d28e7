"""Numbers that papers report, shown beside ours and never mixed with them."""

from __future__ import annotations

# SpatialMoR, Table II: dataset, frames, resolution and units are not stated there; "one A100 80GB".
SPATIALMOR_TABLE_2: dict[str, dict[str, float]] = {
    "dust3r": {"CD": 1.78, "F1": 0.65, "dMSE": 0.018, "Time": 8.7, "FLOPs": 185},
    "mast3r": {"CD": 1.75, "F1": 0.66, "dMSE": 0.017, "Time": 7.2, "FLOPs": 178},
    "vggt": {"CD": 1.72, "F1": 0.68, "dMSE": 0.015, "Time": 0.9, "FLOPs": 210},
    "early_exit": {"CD": 1.74, "F1": 0.66, "dMSE": 0.016, "Time": 0.75, "FLOPs": 175},
    "mor": {"CD": 1.71, "F1": 0.69, "dMSE": 0.015, "Time": 0.82, "FLOPs": 195},
    "spatial_mor": {"CD": 1.69, "F1": 0.70, "dMSE": 0.014, "Time": 0.72, "FLOPs": 168},
}
SPATIALMOR_SOURCE = (
    "SpatialMoR-VGGT, Table II (A100 80GB; dataset, frames, resolution and units not stated)"
)

# SpatialMoR, Table IV: maximum depth -> Chamfer distance, GFLOPs, "speedup vs VGGT" (which is the FLOP reduction)
SPATIALMOR_TABLE_4: dict[int, dict[str, float]] = {
    2: {"CD": 1.73, "FLOPs": 157.5, "saving": 0.25},
    3: {"CD": 1.69, "FLOPs": 172.2, "saving": 0.18},
    4: {"CD": 1.68, "FLOPs": 178.5, "saving": 0.15},
}
# SpatialMoR, Table V: scene type -> share of patches at depth 1, 2, 3, 4
SPATIALMOR_TABLE_5: dict[str, tuple[float, float, float, float]] = {
    "indoor": (0.382, 0.327, 0.214, 0.077),
    "controlled": (0.451, 0.303, 0.186, 0.060),
    "real-world": (0.328, 0.315, 0.252, 0.105),
}
