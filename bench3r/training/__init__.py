"""Samples and the training loop."""
