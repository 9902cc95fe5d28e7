"""``python -m bench3r``."""

from bench3r.cli import main

main()
