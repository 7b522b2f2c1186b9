"""The certificates of a listener, read again when their files change."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from littoral.core.errors import StartupError
from littoral.core.resources import web
from littoral.drivers.web_certificates import CertificateFiles, ClientTrust, TlsVersion, WebCertificates

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
    ) -> None:
        """Raises StartupError where a file is missing or wrong."""
        self._files = [CertificateFiles(Path(each.certificate), Path(each.key)) for each in certificates]
        self._paths = [path for each in self._files for path in (each.certificate, each.key)]
        if clients is not None:
            self._paths.append(clients.ca)
        self._seen = self._changes()
        self.shown = WebCertificates(self._files, minimum, protocols=protocols, clients=clients)

    async def keep(self, log: Callable[[str], None]) -> None:
        """Show what the files hold, until cancelled. log: is told of files that cannot be used, once; what was shown before is
        shown on."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look(log)

    def look(self, log: Callable[[str], None]) -> None:
        """See whether files have changed."""
        changes = self._changes()
        if changes == self._seen:
            return
        self._seen = changes
        try:
            self.shown.replace(self._files)
        except StartupError as error:
            log(f"{error}. What was shown before is shown on")

    def _changes(self) -> list[tuple[int, int]]:
        """When each file was changed, and how large it is."""
        return [_change(path) for path in self._paths]


def _change(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
