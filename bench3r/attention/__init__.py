"""Building blocks of efficient attention.

Merged tokens, sparse blocks, linear attention, fast weights, low precision.
"""
