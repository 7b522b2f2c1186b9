"""The files of a listener with TLS. Apart from the server that shows them, which takes long to import: a leaf of the tree has none."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from littoral.core.errors import StartupError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS listener presents and demands, as PEM files."""

    certificate: Path
    """The listener's certificate, followed by the chain to its CA."""
    key: Path
    client_ca: Path | None = None
    """If set, clients must present a certificate of this CA; without one the handshake is refused."""
    minimum: Literal["tls1.2", "tls1.3"] = "tls1.3"
    """The oldest TLS version that is spoken."""

    def check(self) -> None:
        """Raises StartupError where a file is missing or wrong: granian would panic in a thread of its own."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(
                "load TLS files",
                f"{self.certificate}, {self.key}" + (f", {self.client_ca}" if self.client_ca else ""),
                error.strerror or str(error),
                "Check that the files exist, are PEM, belong together and can be read by this user",
            ) from error
