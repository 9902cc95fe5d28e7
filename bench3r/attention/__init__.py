"""Building blocks of efficient attention: merging tokens, sparse blocks, linear attention, fast weights, low precision."""
