"""Whether a dask scheduler answers at an address, with TLS or without, within a few seconds.

Dask itself waits without a limit for the first message of a peer that accepts connections but speaks another protocol.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.core import connect
from distributed.comm.registry import get_backend
from distributed.security import Security

from ampbench.errors import UsageError
from ampbench.faults import named
from ampbench_dask.security import ADVICE, CONFIGURATION, Credentials, reason

CONNECT_TIMEOUT_S = 3.0
"""Time in seconds within which a scheduler must accept a connection."""
ANSWER_TIMEOUT_S = 5.0
"""Time in seconds within which it must also have sent its first message."""
REQUIREMENT = "distributed.comm.require-encryption"
"""The key of dask's configuration that forbids connections without TLS."""
ENCRYPTED = ("tls", "wss")
"""Schemes of encrypted addresses."""
PASSING = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""Errors of TLS that only say that the other side has gone."""


def encrypted(address: str) -> bool:
    """Return whether connections to an address are encrypted; raises UsageError if it has no host and port."""
    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        _, port = parse_host_port(place)
    except ValueError as error:
        raise UsageError(f"{address!r} is no address of a dask scheduler: {error}") from error
    if not 0 < port < 2**16:
        raise UsageError(f"{address!r} is no address of a dask scheduler: its port {port} is not in 1, …, 65535")
    return scheme in ENCRYPTED


def check_scheme(address: str, credentials: Credentials) -> None:
    """Raise :class:`UsageError` if an address and the credentials contradict each other."""
    if encrypted(address) and not credentials.used:
        raise UsageError(
            f"address={address} is encrypted, but there are no credentials; give security=FOLDER with ca.pem, cert.pem "
            f"and key.pem, or set {CONFIGURATION} in dask's configuration; {ADVICE}"
        )
    if credentials.security.require_encryption and not encrypted(address):
        origin = credentials.origin if credentials.used else f"dask's configuration {REQUIREMENT}"
        raise UsageError(
            f"address={address} is not encrypted, but {origin} asks for encryption; "
            f"write address=tls://{parse_address(address)[1]} for a scheduler with TLS, or leave out the credentials"
        )


def probe(address: str, credentials: Credentials) -> None:
    """Exchange the first messages with a scheduler.

    Raises:
        UsageError: something answers, but not with TLS where TLS is expected, or the reverse, with a certificate that
            is not accepted, or not as a dask scheduler.
        OSError: nothing answers within ``ANSWER_TIMEOUT_S``.
    """
    if encrypted(address):
        refusal = _refusal(address, credentials.security.get_connection_args("client")["ssl_context"])
        if isinstance(refusal, PASSING):
            raise OSError(reason(refusal)) from refusal
        if refusal is not None:
            raise UsageError(_fault(address, credentials.origin, refusal)) from refusal
    try:
        asyncio.run(_greet(address, credentials.security))
    except TimeoutError as error:
        raise OSError(f"it accepts connections, and sends nothing for {ANSWER_TIMEOUT_S:g} s") from error
    except Exception as error:
        if not encrypted(address) and _answers_tls(address):
            raise UsageError(
                f"the scheduler at address={address} uses TLS; write address=tls://{parse_address(address)[1]} and "
                f"security=FOLDER with its credentials; {ADVICE}"
            ) from error
        if isinstance(error, OSError):
            raise OSError(_innermost(error)) from error
        raise UsageError(
            f"what answers at address={address} is no dask scheduler{' with TLS' if encrypted(address) else ''} "
            f"({named(error)}); give the address that 'dask scheduler' prints as 'Scheduler at'"
        ) from error


async def _greet(address: str, security: Security) -> None:
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        comm = await connect(address, timeout=CONNECT_TIMEOUT_S, **security.get_connection_args("client"))
        await comm.close()


def _innermost(error: BaseException) -> str:
    """Return the text of the first cause that has one: dask's own begins with the memory addresses of objects."""
    below = getattr(error, "real_error", None) or error.__cause__
    return (_innermost(below) if below else "") or str(error)


def _fault(address: str, origin: str, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the authority of {origin} does not accept the certificate of the scheduler at address={address}: "
            f"{error.verify_message}; start scheduler, workers and sweep with credentials of one authority; {ADVICE}"
        )
    if " alert " in f" {reason(error)} ":  # of the other side
        return (
            f"the scheduler at address={address} does not accept the certificate of {origin}: {reason(error)}; "
            f"start scheduler, workers and sweep with credentials of one authority; {ADVICE}"
        )
    return (
        f"what answers at address={address} is no dask scheduler with TLS ({reason(error)}); start the scheduler with "
        f"TLS, or write address=tcp://{parse_address(address)[1]} without security for one without; {ADVICE}"
    )


def _answers_tls(address: str) -> bool:
    """Return whether a server answers the first message of TLS with a message of TLS, be it a refusal."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        refusal = _refusal(address, context)
    except OSError:
        return False
    return refusal is None or "ALERT" in (refusal.reason or "")


def _refusal(address: str, context: ssl.SSLContext) -> ssl.SSLError | None:
    """Return the error of a handshake of TLS; None if the server accepts it. Raises OSError if there is no server."""
    place = parse_host_port(parse_address(address)[1])
    try:
        with (
            socket.create_connection(place, CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as secured,
        ):
            secured.recv(1)  # in TLS 1.3, a server refuses a certificate after the client's handshake
    except ssl.SSLError as error:
        return error
    return None
