"""Shell completion: the scripts of ``ampbench completion SHELL``, and the values of arguments and options.

The scripts call ampbench by typer's protocol, with the words in ``COMP_WORDS``, one per line. bash splits words at
``:`` and ``=``, which specs contain, and replaces the last part only; its script joins the parts before the call, and
cuts the beginning of each answer after it.

Values come from the names that plugins register, and from the folders of a results directory; nothing that takes time,
such as torch, is imported, and an error of a plugin is no answer.

References:
    *bash(1)*, Programmable Completion, https://www.gnu.org/software/bash/manual/html_node/Programmable-Completion.html
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import typer

from ampbench.errors import AmpbenchError
from ampbench.hookspecs import KINDS
from ampbench.results.record import FAILURES

Complete = Callable[..., list[str]]
"""A function from the incomplete value, and perhaps the context of the command, to possible values."""

BASH = r"""
_ampbench_completion() {
    local line=${COMP_LINE:0:COMP_POINT} rest word current breaks prefix="" found i
    local -a words=()
    rest=$line
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $rest != [[:space:]]* ]]; then
            words[${#words[@]} - 1]+=${rest:0:${#word}}
        else
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("${rest:0:${#word}}")
        fi
        rest=${rest:${#word}}
    done
    current=${words[${#words[@]} - 1]}
    breaks=${COMP_WORDBREAKS//[^:=]/}
    if [[ -n $breaks && $current == *[$breaks]* ]]; then
        prefix=${current%"${current##*["$breaks"]}"}
    fi
    COMPREPLY=()
    local IFS=$'\n'
    for found in $(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
        _AMPBENCH_COMPLETE=complete_bash "$1" 2>/dev/null); do
        COMPREPLY+=("${found#"$prefix"}")
    done
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[:=,] ]]; then
        compopt -o nospace
    fi
}

complete -o default -F _ampbench_completion ampbench
"""

ZSH = r"""
#compdef ampbench

_ampbench() {
    local -a found
    found=("${(@f)$(COMP_WORDS="${(F)words[1,CURRENT]}" COMP_CWORD=$((CURRENT - 1)) \
        _AMPBENCH_COMPLETE=complete_bash ${words[1]} 2>/dev/null)}")
    found=(${found:#})
    if (($#found == 0)); then
        _files
    elif (($#found == 1)) && [[ ${found[1]} == *[:=,] ]]; then
        compadd -S '' -- $found
    else
        compadd -- $found
    fi
}

if [[ ${funcstack[1]} == _ampbench ]]; then
    _ampbench "$@"
else
    compdef _ampbench ampbench
fi
"""

FISH = r"""
function __ampbench_complete
    set -l words (commandline -opc) (commandline -ct)
    set -lx COMP_WORDS (string join \n -- $words | string collect)
    set -lx COMP_CWORD (math (count $words) - 1)
    set -lx _AMPBENCH_COMPLETE complete_bash
    set -l found ($words[1] 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command ampbench --no-files --arguments '(__ampbench_complete)'
"""

SCRIPTS = {"bash": BASH.lstrip(), "zsh": ZSH.lstrip(), "fish": FISH.lstrip()}
"""The script of each shell."""

FILES = {
    "bash": ".local/share/bash-completion/completions/ampbench",
    "zsh": ".zfunc/_ampbench",
    "fish": ".config/fish/completions/ampbench.fish",
}
"""Where ``--install`` writes the script, below the home directory."""

_COMPONENT = re.compile(r"(?:^|[:,(])(divergence|family|first|second|method)=([^:,()=]*)$")
_KINDS = {"divergence": "divergences", "first": "divergences", "second": "divergences", "family": "families"}
_CONDITIONS = ("task=", "task~", "method=", "method~", "budget=", "budget<=", "seed=", "observation=")


def _specs_of(kind: str) -> Complete:
    """Return the completion of specs of a kind of components: names, and names of components in options."""

    def complete(incomplete: str) -> list[str]:
        if ":" not in incomplete:
            return _beginning(_names(kind), incomplete)
        match = _COMPONENT.search(incomplete)
        if match is None:
            return []
        option, begun = match.groups()
        start = incomplete[: len(incomplete) - len(begun)]
        return [start + name for name in _beginning(_names(_KINDS.get(option, "methods")), begun)]

    return complete


def _among(*values: str) -> Complete:
    """Return the completion of fixed values."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(values, incomplete)

    return complete


def _condition(incomplete: str) -> list[str]:
    """Complete a condition of ``--select``."""
    field, operator, value = re.fullmatch(r"([^=~]*)([=~]?)(.*)", incomplete, re.DOTALL).groups()  # type: ignore[union-attr]
    if not operator or field not in ("task", "method"):
        return _beginning(_CONDITIONS, incomplete)
    return [f"{field}{operator}{each}" for each in _specs_of(f"{field}s")(value)]


def _run_key(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the key of a run in the results directory or bundle of the command."""
    from ampbench.results.store import STUDY_FILE

    results = Path(ctx.params.get("results") or "results")
    keys: set[str] = set()
    with suppress(OSError), os.scandir(results / "runs") as entries:
        keys.update(entry.name for entry in entries)
    for bundle in (results, results / STUDY_FILE):
        with suppress(OSError, BadZipFile), ZipFile(bundle) as archive:
            keys.update(name.split("/")[1] for name in archive.namelist() if name.startswith("runs/"))
    return _beginning(sorted(keys), incomplete)


def _names(kind: str) -> list[str]:
    from ampbench import registry

    try:
        return list(registry.load(lambda fault: None).entries(kind))
    except AmpbenchError:
        return []


def _beginning(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


VALUES: dict[str, Complete] = {
    "task": _specs_of("tasks"),
    "subject": _specs_of("tasks"),
    "method": _specs_of("methods"),
    "methods": _specs_of("methods"),
    "metric": _specs_of("metrics"),
    "executor": _specs_of("executors"),
    "select": _condition,
    "key": _run_key,
    "device": _among("cpu", "cuda", "mps"),
    "failed": _among("error", "drop", "code"),
    "shell": _among(*SCRIPTS),
    "study": _among("lueckmann2021"),
    "subset": _among("fast", "amortised", "all"),
    "list_components.kind": _among(*KINDS),
    "failures.kind": _among(*FAILURES),
}
"""The completion of each argument or option, by its name, or by function and name."""


def takes_completion(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: complete its arguments and options that are in :data:`VALUES`."""
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        complete = VALUES.get(f"{command.__name__}.{parameter.name}", VALUES.get(parameter.name))
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if complete and isinstance(info, typer.models.ParameterInfo) and not isinstance(parameter.default, bool):
                info.autocompletion = complete
    return command
