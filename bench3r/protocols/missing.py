"""Why a metric is missing: it cannot be computed for a scene, or has no meaning for a method."""

NOT_APPLICABLE = "not applicable: "  # how the reason of a metric without meaning starts


class NotComputable(ValueError):
    """A metric cannot be computed for this scene; the text says why. The metric stays missing."""


class NotApplicable(NotComputable):
    """The metric has no meaning for this method or dataset; it counts as no missing result."""
