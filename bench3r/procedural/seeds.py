"""Disjoint ranges of procedural scene seeds."""

TRAIN_SEEDS, VALIDATION_SEEDS, TEST_SEEDS = 0, 1_000_000_000, 2_000_000_000
