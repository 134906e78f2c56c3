"""The coordinator's server, in the foreground, until somebody ends it."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from pathlib import Path

from ..errors import Fault, FederationError
from ..logs import LOG
from .flare_kit import prepare_server
from .flare_part import running
from .folders import CoordinatorFolder, read_invitation
from .members import write_revoked
from .tool import flare

_CONNECTS_S = 5


def serve(folder: Path, heartbeat_s: float) -> int:
    """Run the server; return its exit status.

    Parameters
    ----------
    folder : Path
        Of the coordinator.
    heartbeat_s : float
        Time without a sign of life after which a site is given up.

    Raises
    ------
    FederationError
        When its certificate does not hold, or the port is taken.
    """
    mine = CoordinatorFolder(folder)
    port = read_invitation(mine.invitation).port
    write_revoked(mine.log, mine.server)
    command = prepare_server(mine.server, mine.running.resolve(), heartbeat_s)
    _check_port(port)
    # What ends this process shall end the server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with running(command, mine.running.resolve()) as process:
        LOG.info("the server listens at port %d; its log is in %s; end it with Ctrl-C", port, mine.running)
        return process.wait()


def shut_out(mine: CoordinatorFolder, site: str) -> bool:
    """Have the server, where it runs, end the connection of a revoked site and no longer let it in.

    Returns
    -------
    bool
        Whether a server runs.

    Raises
    ------
    FederationError
        When it could not be told.
    """
    invitation = read_invitation(mine.invitation)
    place = invitation.server, invitation.port
    try:
        socket.create_connection(place, _CONNECTS_S).close()
    except OSError:
        return False
    try:
        flare("system", "disable-client", site, "--force", "--startup-kit", str(mine.coordinator.resolve()))
    except FederationError as error:
        problem = f"{site} is revoked, but the server that runs could not be told: {error}"
        remedy = "Start the server again: it lets no revoked site in."
        raise FederationError(Fault("server", f"{place[0]}:{place[1]}", problem, remedy)) from None
    return True


def _check_port(port: int) -> None:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", port))
        except OSError as error:
            problem = "another program has this port" if error.errno == errno.EADDRINUSE else str(error.strerror)
            remedy = "End the other one (`ss -ltnp` names it): is it a server that was started before?"
            raise FederationError(Fault("port of the server", str(port), problem, remedy)) from None
