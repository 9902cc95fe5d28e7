"""Golden files: what official code computes, computed again."""
