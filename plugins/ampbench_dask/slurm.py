"""Dask workers as Slurm jobs.

Each worker is a Slurm job, and works on one fit at a time. The scheduler runs in this process, so that the sweep stops
when this process ends; the same command continues it. If Slurm ends a job at its time limit, another worker repeats its
current fit; stored results are kept.

The scheduler listens on the network, for the workers. Whoever reaches the port of a scheduler or worker can execute
code there, so that both accept only peers with the credentials of the sweep: temporary ones by default, which the
workers read from files in the results directory, of mode 0600, that are removed at the end of the sweep. Web servers of
dask listen on the loopback interface only, without a dashboard.

References:
    dask-jobqueue, https://jobqueue.dask.org;
    :mod:`ampbench_dask.security`, for TLS.
"""

from __future__ import annotations

import shlex
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from ampbench.counts import whole
from ampbench.errors import UsageError
from ampbench.interfaces import Executor, Job
from ampbench.interfaces.events import Listener, Note
from ampbench_dask.environment import DAEMON

if TYPE_CHECKING:
    from ampbench_dask.security import Credentials

TEMPORARY, NONE = "temporary", "none"
"""Values of the option ``security`` that are no folders."""
LOOPBACK = "127.0.0.1:0"
"""Address of dask's web servers: any free port of the loopback interface."""


@final
class Slurm(Executor):
    """Dask workers as Slurm jobs; empty options default to the configuration of Slurm and dask-jobqueue.

    Arguments:
        workers: number of workers, each a Slurm job.
        memory: memory of each job.
        walltime: time limit of each job, as hours:minutes:seconds.
        queue: Slurm partition.
        account: Slurm account that is charged.
        extra: further options of sbatch, separated by spaces, such as ``--gres=gpu:1``.
        interface: network interface of the scheduler, such as ``ib0``.
        security: ``temporary`` credentials for TLS, or a folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` that the
            workers can read, or ``none`` for connections without TLS.
    """

    def __init__(
        self,
        workers: int,
        memory: str = "4GB",
        walltime: str = "24:00:00",
        queue: str = "",
        account: str = "",
        extra: str = "",
        interface: str = "",
        security: str = TEMPORARY,
    ) -> None:
        workers = whole("workers", workers)
        if workers < 1:
            raise UsageError(f"executor 'slurm' needs at least 1 worker, got workers={workers}")
        self.workers, self.memory, self.walltime = workers, memory, walltime
        self.queue, self.account, self.extra, self.interface = queue, account, extra, interface
        self.security = security

    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """See :class:`Executor`."""
        if not jobs:
            return
        try:
            from distributed import Client

            from ampbench_dask.session import serve

            cluster = self._cluster(jobs[0], listener)
        except ImportError as error:
            raise UsageError("executor 'slurm' needs dask-jobqueue: pip install 'ampbench[dask]'") from error
        with cluster:
            cluster.scale(self.workers)
            serve(lambda: Client(cluster, set_as_default=False), jobs, listener)

    def _cluster(self, job: Job, listener: Listener) -> Any:
        """Start a scheduler in this process, which has no workers yet.

        Raises:
            UsageError: this machine has no Slurm, the credentials cannot be used, or their path cannot stand in a
                Slurm script.
        """
        import dask.config
        from dask_jobqueue.slurm import SLURMCluster

        from ampbench_dask.security import OPEN_TO_ALL

        if shutil.which("sbatch") is None:
            raise UsageError(
                f"executor 'slurm' needs Slurm's command 'sbatch', which is not in PATH on {socket.gethostname()}; "
                "start the sweep on a machine from which jobs are submitted"
            )
        logs = job.results / "logs" / "slurm"
        logs.mkdir(parents=True, exist_ok=True)
        credentials = self._credentials(logs)
        for text in [credentials.warning, "" if credentials.used else f"security={NONE}: {OPEN_TO_ALL}"]:
            if text:
                listener(Note(text))
        asked = dask.config.get("jobqueue.slurm.scheduler-options", None) or {}
        dashboard = {"dashboard": "dashboard_address" in asked, "dashboard_address": LOOPBACK}
        return SLURMCluster(
            cores=job.limits.threads,
            processes=1,
            worker_extra_args=["--nthreads", "1", "--no-dashboard", "--dashboard-address", LOOPBACK],
            memory=self.memory,
            walltime=self.walltime,
            queue=self.queue or None,
            account=self.account or None,
            interface=self.interface or None,
            job_extra_directives=self.extra.split(),
            job_script_prologue=[f"export {DAEMON}=False"],
            log_directory=str(logs),
            shared_temp_directory=str(logs),
            scheduler_options=dashboard | asked,
            security=credentials.security if credentials.used else None,
        )

    def _credentials(self, logs: Path) -> Credentials:
        from ampbench_dask.security import from_folder, none, temporary

        if self.security == NONE:
            return none()
        credentials = temporary() if self.security == TEMPORARY else from_folder(self.security, serving=True)
        shared = credentials.files.key.parent if credentials.files else logs
        if shlex.quote(str(shared)) != str(shared):
            raise UsageError(
                f"security={self.security}: the path {str(shared)!r} of the credentials stands in Slurm scripts, where "
                "spaces and special characters have a meaning; choose a path without them"
            )
        return credentials
