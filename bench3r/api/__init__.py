"""What a plug-in is written against: the contracts of methods and datasets, and what passes through them."""
