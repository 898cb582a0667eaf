"""The command line: registers the commands that :mod:`ampbench.cli.declared` declares, and ends by an exit code.

Exit codes: 0 success, 1 some runs failed (each is named), 2 usage error, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.

With ``--json``, a command that ends by an error prints one object with the fields ``error`` and ``exit_code`` instead
of its document, beside the message on standard error. An interrupted one prints nothing more.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, TextIO

import typer

from ampbench.cli.commands import Commands
from ampbench.cli.completion import takes_completion
from ampbench.cli.declared import installation, reports, sharing, simulators, stores, sweeps, tasks
from ampbench.cli.errors import fail
from ampbench.cli.options import takes_quiet
from ampbench.console import prepare_streams, say
from ampbench.errors import (
    AmpbenchError,
    FitWarning,
    PrecisionWarning,
    ResultsWarning,
    SimulationWarning,
    StoredWarning,
)

app = typer.Typer(
    cls=Commands,
    help="Compare likelihood-free inference methods, and infer with adversarial message passing.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ArgumentError: type[typer.BadParameter] = next(
    base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException"
)
"""The base class of errors in arguments, which typer does not export."""


def main() -> None:
    """Run the command line; an :class:`AmpbenchError`, or an OSError of a path, is printed without a traceback."""
    prepare_streams()
    warnings.showwarning = _show_warning
    try:
        sys.exit(command()(standalone_mode=False))  # app() would replace sys.excepthook
    except AmpbenchError as error:
        fail(f"ampbench: {error}", 2)
    except ArgumentError as error:
        shown = io.StringIO()
        error.show(shown)
        fail(shown.getvalue().rstrip("\n"), error.exit_code)
    except typer.Abort:  # standard input has ended
        fail("Aborted!", 1)
    except OSError as error:  # of a path that was given, or that lies in a folder that was given
        if error.filename is None:
            raise
        path = error.filename2 or error.filename  # of a file that is renamed, the new name
        fail(f"ampbench: cannot use {path}: {error.strerror or error}", 2)


def command() -> Callable[..., int | None]:
    """Return the command line without typer's own options for shells, whose scripts cut specs in two."""
    group = typer.main.get_command(app)
    group.params = [each for each in group.params if each.name not in ("install_completion", "show_completion")]
    return group


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning; one of ampbench's own without the line of code that raised it."""
    own = issubclass(category, FitWarning | PrecisionWarning | ResultsWarning | SimulationWarning | StoredWarning)
    text = f"ampbench: {message}\n" if own else warnings.formatwarning(message, category, filename, lineno, line)
    say(text, end="", file=file or sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        from ampbench import __version__

        say(f"ampbench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compare likelihood-free inference methods, and infer with adversarial message passing."""


COMMANDS: dict[str, Callable[..., None]] = {
    "run": sweeps.run,
    "status": sweeps.status,
    "plan": sweeps.plan,
    "failures": sweeps.failures,
    "list": installation.list_components,
    "plugins": installation.plugins,
    "results": reports.results,
    "atlas": reports.atlas,
    "export": reports.export,
    "compare": reports.compare,
    "report": reports.report,
    "ledger": reports.ledger,
    "reproduce": reports.reproduce,
    "publish": sharing.publish,
    "cite": sharing.cite,
    "verify": tasks.verify,
    "assess": simulators.assess,
    "infer": simulators.infer,
    "doctor": installation.doctor,
    "completion": installation.completion,
}
"""All commands, in the order of ``--help``; a new one is declared in a module of :mod:`ampbench.cli.declared`."""

GROUPS = {"store": stores.app, "reference": tasks.reference}
"""Commands with commands of their own."""

for _name, _command in COMMANDS.items():
    app.command(_name)(takes_completion(takes_quiet(_command)))
for _name, _group in GROUPS.items():
    for _registered in _group.registered_commands:
        if _registered.callback is not None:
            _registered.callback = takes_completion(takes_quiet(_registered.callback))
    app.add_typer(_group, name=_name)
