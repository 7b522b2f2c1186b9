"""Bytes both ways, where a connection or a stream was switched to another protocol."""

from typing import Protocol

from littoral.drivers.web_body import IncomingBytes
from littoral.gateway.exchange import ClientGone


class DuplexCarrier(Protocol):
    """Whatever the bytes go over."""

    async def write_through(self, data: bytes) -> None:
        """Send it; return once there is room for more. Raises ConnectionError where the other side is gone."""
        ...

    def end_writing(self) -> None:
        """Nothing more is written."""
        ...

    def close(self) -> None:
        """End both ways, once what was written is sent."""
        ...


class WebDuplex:
    """See gateway.exchange.Duplex."""

    def __init__(self, carrier: DuplexCarrier, incoming: IncomingBytes) -> None:
        self._carrier = carrier
        self._incoming = incoming

    async def read(self) -> bytes:
        """See Duplex."""
        try:
            return await self._incoming.read()
        except ClientGone:
            return b""

    async def write(self, data: bytes) -> None:
        """See Duplex."""
        await self._carrier.write_through(data)

    def end(self) -> None:
        """See Duplex."""
        self._carrier.end_writing()

    def close(self) -> None:
        """See Duplex."""
        self._carrier.close()
