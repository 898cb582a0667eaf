"""Conformance of an executor: every run gets a record, whatever its method does."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
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
        """Execute the runs that are not stored, and return the events, which must come in the calling thread."""
        caller, heard = threading.current_thread(), []

        def listen(event: Event) -> None:
            assert threading.current_thread() is caller
            if isinstance(event, Finished):
                heard.append(event.record)

        groups = jobs.group_by_fit(jobs.pending(self.wanted(), Store(folder)))
        self.make().execute([Job(group, folder) for group in groups], listen)
        return heard

    def test_every_run_has_a_record_and_is_told_once(self, tmp_path: Path) -> None:
        """A method that raises costs its own runs only."""
        heard = self.execute(tmp_path)
        assert len(heard) == 8
        assert {record.run for record in heard} == set(self.wanted())
        assert {record.run.method for record in heard if record.ok} == {str(Spec.parse(self.sound))}
        assert sorted(record.run.key for record in Store(tmp_path).records()) == sorted(r.run.key for r in heard)

    def test_only_what_failed_is_done_again(self, tmp_path: Path) -> None:
        """A second sweep tries failed runs again."""
        self.execute(tmp_path)
        assert {record.run.method for record in self.execute(tmp_path)} == {str(Spec.parse(self.broken))}

    def test_nothing_to_do(self) -> None:
        """An empty list of jobs returns at once."""
        self.make().execute([], lambda event: None)
