"""What a plug-in is written against: contracts of methods and datasets, and what passes them."""
