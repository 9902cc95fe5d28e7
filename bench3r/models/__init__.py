"""Networks with official parameter names, their layers and heads, and the two hooks."""
