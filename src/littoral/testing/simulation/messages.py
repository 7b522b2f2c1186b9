"""Writing what travels between nodes into a history."""

from littoral.testing.net import Event, SimNetwork, Traffic
from littoral.testing.simulation.history import History, Message

LOST: dict[Event, str] = {"requests_lost": "lost", "refused": "refused", "resets": "reset", "timeouts": "timed out"}
"""What ends a request without an answer, in a word."""


class MessageRecorder:
    """Turns the network's traffic into messages: each request and each answer is one."""

    def __init__(self, network: SimNetwork, history: History, nodes: dict[str, str], started_s: float) -> None:
        """nodes: by base URL, the node that answers there. started_s: the loop's time at which the run began."""
        self._history = history
        self._nodes = nodes
        self._started_s = started_s
        self._sent: dict[int, Traffic] = {}
        """Requests that have not arrived, or were not answered, yet: what happened to them last."""
        network.observe = self._note

    def _note(self, traffic: Traffic) -> None:
        match traffic.event:
            case "requests":
                self._sent[traffic.number] = traffic
            case "handled":
                self._carried(traffic, answer=False)
                self._sent[traffic.number] = traffic
            case "answered" | "chunks":
                self._carried(traffic, answer=True)
            case "responses_lost" | "chunks_lost":
                self._carried(traffic, answer=True, fate="lost")
            case "duplicated":
                self._carried(traffic, answer=False, fate="duplicated")
            case "requests_lost" | "refused" | "resets" | "timeouts":
                if traffic.number in self._sent:
                    self._carried(traffic, answer=False, fate=LOST[traffic.event])
                    del self._sent[traffic.number]

    def _carried(self, traffic: Traffic, *, answer: bool, fate: str = "") -> None:
        sent = self._sent.get(traffic.number, traffic)
        if traffic.event in ("chunks", "chunks_lost"):
            sent = traffic  # a piece of a stream: nobody noted when it was sent
        source, target = traffic.source, self._nodes[traffic.target]
        if answer:
            source, target = target, source
        arrived_s = None if fate and fate != "duplicated" else traffic.at_s - self._started_s
        verb = "answers" if answer else traffic.method
        text = f"{verb} {traffic.path} {traffic.size_bytes} B"
        self._history.records.append(Message(sent.at_s - self._started_s, source, target, text, arrived_s, fate))
