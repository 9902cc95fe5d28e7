"""``python -m bench3r``: the job server runs the command where there is one, this process elsewhere."""

import os
import sys

from bench3r.jobs import server


def main() -> None:
    """Run the command line."""
    if os.environ.get(server.ADDRESS) and sys.argv[1:2] and sys.argv[1] in server.HANDED:
        code = server.ask(sys.argv[1:])
        if code is not None:
            sys.exit(code)
    from bench3r import cli

    cli.main()


main()
