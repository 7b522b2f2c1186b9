"""The certificates of a gateway's listener, read again when their files change."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from littoral.core.errors import StartupError
from littoral.core.resources.web import GatewayTls
from littoral.drivers.web_certificates import CertificateFiles, WebCertificates

LOOK_S = 5.0
"""How often files are looked at: whoever renews certificates does it days before it is due."""


class GatewayCertificates:
    """Those that a node's document names."""

    def __init__(self, tls: GatewayTls) -> None:
        """Raises StartupError where a file is missing or wrong."""
        self._files = [CertificateFiles(Path(each.certificate), Path(each.key)) for each in tls.certificates]
        self._seen = self._changes()
        self.shown = WebCertificates(self._files, tls.minimum)

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
        paths = [path for each in self._files for path in (each.certificate, each.key)]
        return [_change(path) for path in paths]


def _change(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
