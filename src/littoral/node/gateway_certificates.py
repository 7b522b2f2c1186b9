"""The certificates of a gateway's listener."""

from littoral.core.resources.web import GatewayTls
from littoral.node.listener_certificates import ListenerCertificates


class GatewayCertificates(ListenerCertificates):
    """Those that a node's document names."""

    def __init__(self, tls: GatewayTls) -> None:
        """Raises StartupError where a file is missing or wrong."""
        super().__init__(tls.certificates, tls.minimum)
