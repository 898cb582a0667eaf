"""The group of all commands: how each of them ends."""

from __future__ import annotations

import sys
from typing import Any

from typer.core import TyperGroup

from ampbench.cli.interruption import end, in_command
from ampbench.errors import AmpbenchError
from ampbench.faults import describe


class Commands(TyperGroup):
    """Ends a command that is interrupted, or in which a plugin raises an exception, by one line."""

    def invoke(self, ctx: Any) -> Any:
        """Execute the command of a context."""
        try:
            with in_command():
                return super().invoke(ctx)
        except AmpbenchError:
            raise
        except KeyboardInterrupt as error:
            sys.exit(end(error))
        except BaseException as error:
            from ampbench.cli.errors import fail  # imports rich
            from ampbench.registry import culprit

            if not (plugin := culprit(error)):
                raise
            fail(f"ampbench: {describe(error)} (raised in plugin {plugin})", 1)
