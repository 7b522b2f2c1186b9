"""A process's connection to the hub, over which it only reports."""

from littoral.core.limits import CONTROL_FRAME_BYTES
from littoral.functions.connection import FrameConnection


class HubLine(FrameConnection):
    """Frames go out; what the hub tells gateways is of no use here."""

    def __init__(self) -> None:
        super().__init__(CONTROL_FRAME_BYTES.default)
        self.gone = False

    def received(self, body: bytes) -> None:
        """What the hub tells gateways."""

    def lost(self) -> None:
        self.gone = True
