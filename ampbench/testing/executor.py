"""Conformance of an executor: every run gets a record, whatever its method does."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

from ampbench import registry
from ampbench.interfaces import (
    Executor,
    Job,
)
from ampbench.interfaces.events import Event, Finished
from ampbench.results import Record, Run
from ampbench.results.store import Store
from ampbench.running import jobs, sweep
from ampbench.spec import Spec
from ampbench.testing.expect import expect


class ExecutorConformance(ABC):
    """The properties of an executor on which the command line relies.

    Its workers must have access to the machine's temporary directory.

    Attributes:
        task: a quick task with at least two observations.
        sound, broken: a quick method, and one whose fit raises.
    """

    task = "gaussian_linear"
    sound = "amp:steps=2,divergence=jsd(width=8,depth=1),family=implicit(width=8,depth=1)"
    broken = "amp:steps=2,divergence=energy"  # needs more particles, which its training finds out

    @abstractmethod
    def make(self) -> Executor:
        """Make the executor under test."""

    def wanted(self) -> list[Run]:
        """Two observations of each method, with two seeds."""
        asked = {"tasks": [self.task], "methods": [self.sound, self.broken], "metrics": ["mmd"], "budgets": [50]}
        more = {"samples": 10, "observations": [1, 2], "seeds": [0, 1]}
        return sweep.runs(sweep.check(asked | more, "conformance"), registry.load())

    def execute(self, folder: Path) -> list[Record]:
        """Execute the runs that are not stored, and return the records, which must come in the calling thread."""
        caller, heard = threading.current_thread(), []
        executor = self.make()

        def listen(event: Event) -> None:
            here = threading.current_thread()
            wanted = "the thread that called execute: queue events of other threads, and pass them on from there"
            expect(here is caller, f"the listener was called from the thread {here.name!r}", wanted, executor.execute)
            if isinstance(event, Finished):
                heard.append(event.record)

        groups = jobs.group_by_fit(jobs.pending(self.wanted(), Store(folder)))
        executor.execute([Job(group, folder) for group in groups], listen)
        return heard

    def test_every_run_has_a_record_and_is_told_once(self, tmp_path: Path) -> None:
        """A method that raises costs its own runs only."""
        heard, at = self.execute(tmp_path), self.make().execute
        sound, wanted = str(Spec.parse(self.sound)), self.wanted()
        told = Counter(record.run for record in heard)
        missing = [str(run.method) for run in wanted if run not in told]
        advice = "call ampbench.running.worker.isolated for every job, and pass its events on to the listener"
        expect(not missing, f"{len(missing)} of {len(wanted)} runs were not told: {missing[:1]}", "all", at, advice)
        twice = [run.method for run, count in told.items() if count > 1]
        expect(not twice, f"{len(twice)} runs were told more than once", "each record once", at, advice)
        unknown = [run.method for run in told if run not in wanted]
        expect(not unknown, f"records of other runs were told: {unknown[:1]}", "the runs of the jobs", at, advice)
        good = {record.run.method for record in heard if record.ok}
        failed = [record.error for record in heard if record.run.method == sound and not record.ok]
        expect(good == {sound}, f"methods with good records: {good}; {failed[:1]}", f"{sound} alone", at)
        stored = sorted(record.run.key for record in Store(tmp_path).records())
        same = stored == sorted(record.run.key for record in heard)
        expect(same, f"{len(stored)} records are stored, and {len(heard)} were told", "the same records", at, advice)

    def test_only_what_failed_is_done_again(self, tmp_path: Path) -> None:
        """A second sweep tries failed runs again."""
        self.execute(tmp_path)
        again, broken = {record.run.method for record in self.execute(tmp_path)}, str(Spec.parse(self.broken))
        expect(again == {broken}, f"the second sweep told of {again}", f"{broken} alone", self.make().execute)

    def test_nothing_to_do(self) -> None:
        """An empty list of jobs returns at once."""
        self.make().execute([], lambda event: None)
