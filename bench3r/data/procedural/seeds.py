"""Disjoint ranges of procedural scene seeds, and the generator's version. Imports nothing."""

TRAIN_SEEDS, VALIDATION_SEEDS, TEST_SEEDS = 0, 1_000_000_000, 2_000_000_000
GENERATOR_VERSION = 2  # part of every data specification
