"""``ampbench run``: from options to records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ampbench import registry
from ampbench.display import Display
from ampbench.errors import UsageError
from ampbench.results import Store
from ampbench.run import Run


def run_sweep(path: Path | None, given: dict[str, Any], results: Path, device: str, threads: int) -> int:
    """Run a sweep and return the exit code.

    Arguments:
        path: a TOML file, or None to take ``given``.
        given: the sweep's keys from the command line.
        results: the results directory.
        device: any torch device.
        threads: CPU threads of torch and of the linear algebra below scikit-learn.
    """
    if path and given:
        raise UsageError(f"give either the file {path} or options, not both; drop {', '.join(sorted(given))}")
    import torch
    from threadpoolctl import threadpool_limits

    from ampbench import runner, sweep

    torch.set_num_threads(threads)
    _check_device(device)
    wanted = sweep.read(path) if path else sweep.check(given, "ampbench run")
    loaded = registry.load()
    runs = sweep.runs(wanted, loaded)
    store = Store(results)
    todo = runner.pending(runs, store)
    if len(todo) < len(runs):
        print(f"{len(runs) - len(todo)} of {len(runs)} runs are stored in {results} already")
    try:
        with threadpool_limits(threads), Display(len(todo)) as display:  # scikit-learn's linear algebra too
            records = runner.execute(todo, loaded, store, device, display)
    except KeyboardInterrupt:
        print(f"\ninterrupted; finished runs are stored in {results}. The same command again continues.")
        return 130
    return _report([record.run for record in records if not record.ok], len(records), results)


def _report(failed: list[Run], total: int, results: Path) -> int:
    for run in failed:
        print(f"failed: {run}")
    print(f"{total - len(failed)} runs finished, {len(failed)} failed; see: ampbench compare --results {results}")
    return 1 if failed else 0


def _check_device(name: str) -> None:
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"device {name!r} cannot be used here: {reason}; 'ampbench doctor' lists devices") from error
