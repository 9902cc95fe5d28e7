"""Benchmark and ablation harness for efficient feed-forward 3D reconstruction."""
