"""The command line: a module for each command, and :mod:`ampbench.cli.app`, which declares all commands."""

import os

__all__ = ["main"]


def main() -> None:
    """Run the command line; see :mod:`ampbench.cli.interruption` for its end by a signal."""
    try:
        from ampbench.cli.interruption import watch
    except KeyboardInterrupt:
        os.write(2, b"ampbench: interrupted\n")
        os._exit(130)
    watch()
    from ampbench.cli import app

    app.main()
