"""``python -m bench3r``: the job server runs the command where there is one, else this process.

``python -m bench3r serve ADDRESS`` is that server.
"""

from __future__ import annotations

import os
import sys

from bench3r.jobs import server

# What jobs need; imported once by the server.
PRELOADED = (
    "torch",
    "scipy.spatial",
    "pandas",
    "pyarrow.parquet",
    "bench3r.cli",
    "bench3r.stages.prepare",
    "bench3r.stages.predict",
    "bench3r.jobs.predict_worker",
    "bench3r.stages.score",
    "bench3r.stages.collect",
    "bench3r.models.vggt.network",
    "bench3r.data.reprojection",
)


def main() -> None:
    """Run the command line, or become the server."""
    arguments = sys.argv[1:]
    if arguments[:1] == [server.SERVE] and len(arguments) == 2:
        server.serve(arguments[1], run_command, PRELOADED)
        return
    if os.environ.get(server.ADDRESS) and arguments and arguments[0] in server.HANDED:
        code = server.ask(arguments)
        if code is not None:
            sys.exit(code)
    run_command()


def run_command() -> None:
    """Run the command in ``sys.argv``."""
    from bench3r import cli

    cli.main()


if __name__ == "__main__":
    main()
