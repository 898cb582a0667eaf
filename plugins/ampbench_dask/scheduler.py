"""The executor ``dask``: workers of a dask scheduler, on any number of machines that share the results directory.

Install dask by ``pip install 'ampbench[dask]'``, and start a scheduler and workers by hand or by your cluster::

    dask scheduler --port 8786
    DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker tcp://HOST:8786 --nthreads 1 --nworkers 16

The variable permits a worker to start child processes; each fit runs in one. A worker with n threads works on n fits at
a time. Whoever reaches the port of a scheduler or worker can execute code there, unless TLS is used: see
:mod:`ampbench_dask.security`.

References:
    Rocklin 2015, *Dask: Parallel Computation with Blocked Algorithms and Task Scheduling*, SciPy,
    https://distributed.dask.org.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from ampbench.errors import UsageError
from ampbench.interfaces import Executor, Job
from ampbench.interfaces.events import Listener, Note


@final
class Dask(Executor):
    """The workers of a running dask scheduler.

    Arguments:
        address: address of the scheduler, such as ``tls://10.0.0.1:8786``, or ``tcp://…`` without TLS.
        patience: seconds to wait for a scheduler that does not answer.
        security: folder with ``ca.pem``, ``cert.pem`` and ``key.pem`` for TLS; empty for those of dask's configuration.
    """

    def __init__(self, address: str, patience: float = 300.0, security: str = "") -> None:
        self.address, self.patience, self.security = address, patience, security

    def execute(self, jobs: Sequence[Job], listener: Listener) -> None:
        """See :class:`Executor`."""
        try:
            from ampbench_dask.probe import check_scheme, encrypted
            from ampbench_dask.security import OPEN_TO_ALL, from_configuration, from_folder
            from ampbench_dask.session import connect, serve
        except ImportError as error:
            raise UsageError("executor 'dask' needs dask.distributed: pip install 'ampbench[dask]'") from error
        credentials = from_folder(self.security) if self.security else from_configuration()
        check_scheme(self.address, credentials)
        for text in [credentials.warning, "" if encrypted(self.address) else f"address={self.address}: {OPEN_TO_ALL}"]:
            if text:
                listener(Note(text))
        serve(lambda: connect(self.address, credentials, self.patience, listener), jobs, listener)
