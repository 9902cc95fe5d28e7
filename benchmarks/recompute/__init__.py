"""Every cell of a report's tables once more, from the records alone."""
