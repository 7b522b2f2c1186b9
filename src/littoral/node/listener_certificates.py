"""The certificates of a listener, read again when their files change."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import StartupError
from littoral.core.resources import web
from littoral.drivers.web_certificates import CertificateFiles, ClientTrust, TlsVersion, WebCertificates

if TYPE_CHECKING:
    # Gateways have none, and it takes long to import.
    from littoral.node.revocation_files import RevocationFiles

LOOK_S = 5.0
"""How often files are looked at: whoever renews certificates does it days before it is due."""


class ListenerCertificates:
    """Those that a node's document names."""

    def __init__(
        self,
        certificates: Sequence[web.CertificateFiles],
        minimum: TlsVersion,
        *,
        protocols: Sequence[str] = ("h2", "http/1.1"),
        clients: ClientTrust | None = None,
        revocation: "RevocationFiles | None" = None,
    ) -> None:
        """revocation: lists of certificates of clients that are good no more. Raises StartupError where a file is missing or wrong."""
        self._files = [CertificateFiles(Path(each.certificate), Path(each.key)) for each in certificates]
        self._paths = [path for each in self._files for path in (each.certificate, each.key)]
        if clients is not None:
            self._paths.append(clients.ca)
        self._clients = clients
        self.revocation = revocation
        if revocation is not None:
            self._paths += revocation.paths
        self.revoked: Callable[[], None] = lambda: None
        """Told when lists were read again."""
        self._seen = self._changes()
        self.shown = WebCertificates(self._files, minimum, protocols=protocols, clients=self._trust())

    async def keep(self, log: Callable[[str], None], clock: Clock | None = None) -> None:
        """Show what the files hold, until cancelled. log: is told of files that cannot be used, once; what was shown before is
        shown on, but for lists of what was revoked: without them nobody gets in by a certificate. clock: by which lists are overdue."""
        while True:
            self.look(log, clock)
            await asyncio.sleep(LOOK_S)

    def look(self, log: Callable[[str], None], clock: Clock | None = None) -> None:
        """See whether files have changed."""
        if (changes := self._changes()) != self._seen:
            self._seen = changes
            self._read_again(log)
        if self.revocation is not None and clock is not None and (old := self.revocation.overdue(clock.wall_ms())):
            log(f"{old}. Until it is replaced, nobody gets in by a certificate of that CA")

    def _read_again(self, log: Callable[[str], None]) -> None:
        if self.revocation is not None and (wrong := self.revocation.read_again()):
            log(f"{wrong}. Until that is mended, nobody gets in by a certificate")
        try:
            self.shown.replace(self._files, self._trust())
        except StartupError as error:
            log(f"{error}. What was shown before is shown on")
        self.revoked()

    def _trust(self) -> ClientTrust | None:
        """Which certificates are taken now."""
        if self._clients is None or self.revocation is None:
            return self._clients
        return msgspec.structs.replace(self._clients, revoked=self.revocation.pem)

    def _changes(self) -> list[tuple[int, int]]:
        """When each file was changed, and how large it is."""
        return [_change(path) for path in self._paths]


def _change(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
