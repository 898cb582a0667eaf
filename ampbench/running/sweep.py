"""Sweeps: products of tasks, methods, budgets, seeds and observations, from options or a TOML file.

::

    tasks = ["two_moons", "gaussian_linear"]
    budgets = [1000, 10000]
    seeds = [0, 1]

    [[methods]]
    spec = "npe"

    [[methods]]
    spec = "amp:family=implicit"
    [methods.grid]                    # all combinations: six methods
    divergence = ["jsd", "kl", "mmd(bandwidths=3)"]
    steps = [1000, 6000]

A list of specs, ``methods = ["npe", {spec = "amp", grid = {steps = [1000, 6000]}}]``, says it on one line; tasks and
metrics may have grids too.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from operator import eq, ge, gt, index, le, lt, ne
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from ampbench import files
from ampbench.counts import read_whole
from ampbench.errors import UsageError, unknown
from ampbench.faults import message, pass_interruption
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.registry import Registry, blaming
from ampbench.results import Run
from ampbench.results.schema import is_reserved
from ampbench.running.components import build_method, needs_reference, packages
from ampbench.spec import Spec, split

MAX_RUNS = 1_000_000
"""Largest number of runs of a sweep; larger ones are refused as mistakes."""
MAX_PROBLEMS = 5
"""Largest number of mistakes in a sweep that are listed."""

Whole = Annotated[
    int, BeforeValidator(lambda given: int(given) if isinstance(given, float) and given.is_integer() else given)
]
Number = Annotated[Whole, Field(ge=0, lt=2**63)]
Positive = Annotated[Whole, Field(ge=1, lt=2**63)]
Value = Annotated[str | int | float | bool, BeforeValidator(lambda given: _value(given))]


class Choice(BaseModel):
    """A component, and a grid of values of its options.

    Attributes:
        spec: the component.
        grid: option to values; all combinations are made. An entry of a mapping is written ``divergences.z1``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    spec: str
    grid: Annotated[
        dict[str, Annotated[list[Value], Field(min_length=1)]], BeforeValidator(lambda given: _flat(given))
    ] = {}

    def __len__(self) -> int:
        return prod(map(len, self.grid.values()))

    def specs(self) -> Iterator[Spec]:
        """Return all combinations; raises :class:`UsageError` for an option given twice or impossible to write."""
        spec = Spec.parse(self.spec)
        given = dict(spec.options)
        if twice := sorted(given.keys() & self.grid.keys()):
            raise UsageError(f"option {twice[0]!r} is in the spec {self.spec!r} and in its grid; drop one of them")
        for values in product(*self.grid.values()):
            options = given | dict(zip(self.grid, map(str, values), strict=True))
            made = Spec(spec.name, tuple(sorted(options.items())))
            yield _readable(made)


def _choice(given: object) -> object:
    if isinstance(given, str):
        return {"spec": given}
    if isinstance(given, Mapping | Choice):
        return given
    raise PydanticCustomError("choice", 'write a spec in quotes, or a table {spec = "…", grid = {…}}')


def _value(given: object) -> object:
    if isinstance(given, str | int | float | bool):
        return given
    raise PydanticCustomError("value", "write a text, a number or a truth value")


Choices = Annotated[list[Annotated[Choice, BeforeValidator(_choice)]], Field(min_length=1)]


class Sweep(BaseModel):
    """A product of runs.

    Attributes:
        tasks, methods, metrics: specs, or tables with a spec and a grid.
        budgets: numbers of simulations.
        seeds: seeds.
        observations: numbers of the task's observations; empty means all of each task.
        samples: how many posterior samples are compared with as many reference samples.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tasks: Choices
    methods: Choices
    budgets: Annotated[list[Positive], Field(min_length=1)]
    seeds: Annotated[list[Number], Field(min_length=1)] = [0]
    observations: list[Number] = []
    metrics: Choices = [Choice(spec="c2st"), Choice(spec="mmd")]
    samples: Annotated[Whole, Field(ge=10, lt=2**31)] = 10_000


@dataclass(frozen=True)
class Request:
    """A sweep as a command asks for it.

    Attributes:
        path: a TOML file, or None to take ``given``.
        given: the sweep's keys from the command line.
        select, shard: which part of its runs; see :func:`chosen`.
    """

    path: Path | None = None
    given: Mapping[str, object] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    shard: str | None = None

    def runs(self, registry: Registry) -> list[Run]:
        """Return all runs of the sweep; raises :class:`UsageError` if file and options are given, or one is wrong."""
        if self.path and self.given:
            names = ", ".join(sorted(self.given))
            raise UsageError(f"give either the file {self.path} or options, not both; drop {names}")
        if self.path:
            return runs(read(self.path), registry, str(self.path))
        return runs(check(self.given, "ampbench run"), registry)

    def chosen(self, runs: Sequence[Run]) -> list[Run]:
        """Return the part of the runs that is asked for; see :func:`chosen`."""
        return chosen(runs, self.select, self.shard)


def read(path: Path) -> Sweep:
    """Read a sweep from a TOML file; raises :class:`UsageError` that names file, key, value and what is allowed."""
    try:
        content = tomllib.loads(files.read_text(path, encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is not a sweep: its tables are nested too deep") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    return check(content, str(path))


def check(content: Mapping[str, Any], where: str) -> Sweep:
    """Validate a sweep; raises :class:`UsageError` with ``where`` and what is wrong, misspelt keys first."""
    try:
        return Sweep.model_validate(content)
    except ValidationError as error:
        found = _problems(error.errors())
        more = f" (and {len(found) - MAX_PROBLEMS} more)" if len(found) > MAX_PROBLEMS else ""
        raise UsageError(f"{where}: {' | '.join(found[:MAX_PROBLEMS])}{more}") from None


def runs(sweep: Sweep, registry: Registry, where: str = "") -> list[Run]:
    """Return the runs of a sweep; every spec is checked, and has all options written out.

    Raises:
        UsageError: a wrong spec, or a value that a component refuses; the message names ``where`` and the key, if
            ``where`` is given. Or a metric compares with reference samples, which a task does not have.
        PluginError: a task cannot be built, or does not say what its observations are.
    """
    metrics = _specs(sweep.metrics, "metrics", registry, where)
    for name, count in Counter(Spec.parse(text).name for text in metrics).items():
        if count > 1:
            raise UsageError(f"metric {name!r} is given {count} times; a metric has one column in the results")
        if is_reserved(name):
            raise UsageError(f"metric {name!r} is named like a column of the results; its plugin must rename it")
    written = tuple(metrics.values())
    methods = _specs(sweep.methods, "methods", registry, where)
    tasks = _specs(sweep.tasks, "tasks", registry, where)
    comparing = [text for text in metrics if needs_reference(registry, text)]
    numbers = {text: _numbers(text, sweep.observations, comparing, registry, where) for text in tasks}
    _check_size(len(methods) * len(sweep.budgets) * len(sweep.seeds) * sum(len(some) for *_, some in numbers.values()))
    judged = frozenset().union(*(registry.packages("metrics", text) for text in metrics))
    made = []
    for text, (task, version, some) in numbers.items():
        for method, resolved in methods.items():
            fitted = tuple(sorted(_packages(registry, task, text, method)))
            for budget, seed, number in product(sweep.budgets, sweep.seeds, some):
                what = (tasks[text], version, method, resolved, budget, number, seed, sweep.samples, written)
                made.append(Run(*what, fitted, tuple(sorted(judged))))
    return list({run.key: run for run in made}.values())


def chosen(runs: Sequence[Run], select: Sequence[str] = (), shard: str | None = None) -> list[Run]:
    """Return a part of the runs, in their order.

    Arguments:
        runs: all of them.
        select: each a list of conditions that must all hold, such as ``task=two_moons,method~jsd,budget<=1000``; a run
            is taken if one of these lists holds for it, or if there are none. Fields are task, method, budget,
            observation and seed. ``=`` and ``!=`` compare names, and those options that are given (a spec with commas
            stands in parentheses); ``~`` and ``!~`` look for a part of the text.
        shard: ``3/10`` takes the third of ten parts. Which part a run is in depends on its fit alone, so that the
            observations of a fit stay together, and ten machines do all runs, each once.

    Raises:
        UsageError: a condition or shard cannot be read, or no run fulfils the conditions.
    """
    selections = [_conditions(text) for text in select]
    kept = [run for run in runs if not selections or any(all(test(run) for test in tests) for tests in selections)]
    if runs and not kept:
        tasks, methods = (", ".join(dict.fromkeys(getattr(run, name) for run in runs)) for name in ("task", "method"))
        raise UsageError(f"none of {len(runs)} runs is selected by {' or '.join(select)}; there are {tasks}; {methods}")
    return kept if shard is None else _shard(kept, shard)


def _flat(given: object) -> object:
    """Join nested keys: TOML reads the key ``divergences.z1`` as a table in a table."""
    if not isinstance(given, Mapping):
        return given
    flat: dict[object, object] = {}
    for key, value in given.items():
        flat |= (
            {f"{key}.{entry}": some for entry, some in value.items()} if isinstance(value, Mapping) else {key: value}
        )
    return flat


def _readable(spec: Spec) -> Spec:
    if Spec.parse(str(spec)) != spec:
        raise UsageError(f"{str(spec)!r} does not read back as it was meant; put values with commas into parentheses")
    return spec


def _problems(errors: Sequence[Any]) -> list[str]:
    """Return a message for each mistake: misspelt keys first, of which a missing key is a mere consequence."""
    unknown_keys = [error["loc"] for error in errors if error["type"] == "extra_forbidden"]
    meant = {(*loc[:-1], near) for loc in unknown_keys if (near := _nearest(loc))}
    found = [_unknown_key(loc) for loc in unknown_keys]
    for error in errors:
        loc, kind = error["loc"], error["type"]
        if kind == "missing" and loc not in meant:
            found.append(f"{_key(loc)}: {error['msg']}")
        elif kind not in ("missing", "extra_forbidden"):
            found.append(f"{_key(loc)}: {error['msg']}, got {_short(repr(error['input']))}")
    return found


def _unknown_key(loc: tuple[int | str, ...]) -> str:
    hint = f"; did you mean {near!r}?" if (near := _nearest(loc)) else ""
    return f"unknown key {_key(loc)!r}; known: {', '.join(_known(loc))}{hint}"


def _nearest(loc: tuple[int | str, ...]) -> str:
    """Return the key that a misspelt one resembles; "" if there is none."""
    return next(iter(difflib.get_close_matches(str(loc[-1]), _known(loc), n=1)), "")


def _known(loc: tuple[int | str, ...]) -> Sequence[str]:
    return list((Sweep if len(loc) == 1 else Choice).model_fields)


def _key(loc: tuple[int | str, ...]) -> str:
    return ".".join(_short(str(part) if str(part).isprintable() else repr(part)) for part in loc)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"


def _specs(choices: Sequence[Choice], key: str, registry: Registry, where: str) -> dict[str, str]:
    """Return the specs as they were asked for, each with the spec that has all options written out."""
    _check_size(sum(map(len, choices)))
    specs: dict[str, str] = {}
    for number, choice in enumerate(choices):
        try:
            specs |= {str(spec): str(registry.checked(key, str(spec))) for spec in choice.specs()}
        except UsageError as error:
            raise UsageError(f"{where}: {key}.{number}: {message(error)}" if where else message(error)) from error
    return specs


def _numbers(
    text: str, wanted: Sequence[int], comparing: Sequence[str], registry: Registry, where: str
) -> tuple[Task, str, list[int]]:
    """Return a task, its version, and the numbers of its observations to run on.

    Raises:
        UsageError: a metric compares with reference samples, and the task has none; or an observation does not exist.
        PluginError: the task cannot say its version, or list its observations.
    """
    task: Task = registry.build("tasks", text)
    if comparing and not isinstance(task, HasReference | ShipsReference):
        problem = (
            f"task {text!r} is forward-only: it has no reference posterior, but these metrics compare with one: "
            f"{', '.join(comparing)}; take one that needs none, such as mpd, or: ampbench assess {text!r}"
        )
        raise UsageError(f"{where}: metrics: {problem}" if where else problem)
    plugin = registry.entry("tasks", text).plugin
    with blaming(f"plugin {plugin}: task {text!r} cannot say what its version is"):
        version = task.version
        if not isinstance(version, str):
            raise TypeError(f"it is a {type(version).__name__}, not a text")
    with blaming(f"plugin {plugin}: task {text!r} cannot say what its observations are"):
        known = sorted(map(index, task.observations()))
    if not known:
        raise UsageError(f"task {text!r} has no numbered observations, so that there is nothing to run on")
    for place, number in enumerate(wanted):
        if number not in known:
            problem = f"unknown observation {number} of task {text!r}; known: {', '.join(map(str, known))}"
            raise UsageError(f"{where}: observations.{place}: {problem}" if where else problem)
    return task, version, list(wanted) or known


def _packages(registry: Registry, task: Task, task_spec: str, method_spec: str) -> frozenset[str]:
    """Return the versions on which a fit depends; without a revision if the method cannot be built."""
    try:
        return packages(registry, task, build_method(registry, method_spec, task), task_spec, method_spec)
    except BaseException as error:  # the run will report it
        pass_interruption(error)
        return registry.packages("tasks", task_spec) | registry.packages("methods", method_spec)


def _check_size(count: int) -> None:
    if count > MAX_RUNS:
        raise UsageError(f"the sweep has {count:,} combinations, more than {MAX_RUNS:,}; split it")


_FIELDS = {"task": str, "method": str, "budget": int, "observation": int, "seed": int}
_CONDITION = re.compile(r"\s*(\w+)\s*(!=|!~|<=|>=|=|~|<|>)(.*)", re.DOTALL)
_COMPARE: Mapping[str, Callable[[int, int], bool]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


def _conditions(text: str) -> list[Callable[[Run], bool]]:
    return [_condition(part, text) for part in split(text, text)]


def _condition(text: str, whole: str) -> Callable[[Run], bool]:
    match = _CONDITION.fullmatch(text)
    if not match:
        raise UsageError(f"cannot read {text!r} in the selection {whole!r}; write conditions such as task=two_moons")
    name, operator, value = match[1], match[2], match[3].strip()
    if name not in _FIELDS:
        raise UsageError(f"{unknown('field', name, _FIELDS)}; put a spec with commas into parentheses: method=(…)")
    if _FIELDS[name] is int:
        return _compare_numbers(name, operator, value, whole)
    return _compare_texts(name, operator, value, whole)


def _compare_numbers(name: str, operator: str, value: str, whole: str) -> Callable[[Run], bool]:
    try:
        compare, number = _COMPARE[operator], read_whole(name, value)
    except (KeyError, UsageError):
        raise UsageError(
            f"cannot select {name}{operator}{value} in {whole!r}; write {name}, one of = != < <= > >=, number"
        ) from None
    return lambda run: compare(getattr(run, name), number)


def _compare_texts(name: str, operator: str, value: str, whole: str) -> Callable[[Run], bool]:
    if operator not in ("=", "!=", "~", "!~") or not value:
        raise UsageError(f"cannot select {name}{operator}{value} in {whole!r}; write {name}, one of = != ~ !~, text")
    wanted = not operator.startswith("!")
    if operator.endswith("~"):
        return lambda run: (value in getattr(run, name)) == wanted
    spec = Spec.parse(value)
    return lambda run: _is(spec, _written(run, name)) == wanted


def _written(run: Run, name: str) -> list[Spec]:
    return [Spec.parse(run.task)] if name == "task" else [Spec.parse(run.method), Spec.parse(run.resolved)]


def _is(wanted: Spec, forms: Sequence[Spec]) -> bool:
    """Return whether a spec names the component of ``forms``, and only options that one of the forms has."""
    options = {option for form in forms for option in form.options}
    return wanted.name == forms[0].name and options.issuperset(wanted.options)


def _shard(runs: Sequence[Run], text: str) -> list[Run]:
    match = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", text.strip())
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError(f"cannot read the shard {text!r}; write 3/10 for the third of ten")
    return [run for run in runs if int(run.fit_digest, 16) % count == number - 1]
