"""A run as data: configuration, plan, keys, records, paths, provenance."""
