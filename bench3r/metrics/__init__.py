"""Pure metric functions on numpy arrays."""
