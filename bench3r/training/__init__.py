"""Losses, samples and the training loop."""
