"""Figures as PNG and PDF, in colours that colour-blind readers tell apart. One file = one kind."""
