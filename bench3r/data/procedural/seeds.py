"""Disjoint ranges of procedural scene seeds, and the generator's version. Imports nothing."""

TRAIN_SEEDS = 0  # the first of each range
VALIDATION_SEEDS = 1_000_000_000
TEST_SEEDS = 2_000_000_000
GENERATOR_VERSION = 2  # part of every data specification
