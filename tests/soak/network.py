"""Packets of one link that are lost, delayed or squeezed by the kernel, in a network namespace of the run's own.

All connections of a link go to one port of its relay, so its packets are told apart by that port.
"""

from tests.soak.isolation import NOT_ISOLATED, is_isolated, run

ALL = 100
LOSSES = (3, 10, 30, ALL)
"""Per cent. All is a partition that no end is told of, in which connections live on."""
NETEM = (
    "delay 50ms 20ms loss 5%",
    "delay 20ms 15ms reorder 25%",
    "duplicate 10%",
    "corrupt 0.2%",
)
SHAPE = "rate 128kbit burst 4kb"
QUEUE_PACKETS = 10
_CLASS = "1:4"


def lose(port: int, per_cent: int) -> str | None:
    """Drop so many of the port's packets, in both directions; None, or why that is not possible."""
    drop = "drop" if per_cent == ALL else f"numgen random mod 100 < {per_cent} drop"
    rules = f"tcp dport {port} {drop}\ntcp sport {port} {drop}"
    chain = f"chain out {{\ntype filter hook output priority 0;\n{rules}\n}}"
    return run(["nft", "-f", "-"], f"table inet soak {{\n{chain}\n}}\n")


def lose_nothing() -> None:
    run(["nft", "delete", "table", "inet", "soak"])


def shape(port: int) -> str | None:
    """A line as of a modem, whose short queue loses what does not fit."""
    return _divide(
        port, ["htb", *SHAPE.split()], ["parent", _CLASS, "handle", "40:", "pfifo", "limit", str(QUEUE_PACKETS)]
    )


def netem(port: int, recipe: str) -> str | None:
    """What tc-netem makes of the port's packets."""
    return _divide(port, ["htb", "rate", "1gbit"], ["parent", _CLASS, "handle", "40:", "netem", *recipe.split()])


def restore() -> None:
    """As it was before `shape` or `netem`."""
    run(["tc", "qdisc", "del", "dev", "lo", "root"])


def why_not(kind: str) -> str | None:
    """Why this kind cannot be had here; None if it can."""
    if not is_isolated():
        return NOT_ISOLATED
    tried = {"loss": lambda: lose(1, 1), "shape": lambda: shape(1), "netem": lambda: netem(1, NETEM[0])}[kind]()
    lose_nothing()
    restore()
    return tried


def _divide(port: int, line: list[str], queue: list[str]) -> str | None:
    """Give the port's packets a class of their own, with this line and queue."""
    add = ["tc", "qdisc", "add", "dev", "lo"]
    commands = [
        [*add, "root", "handle", "1:", "htb"],  # what is not classified passes at once
        ["tc", "class", "add", "dev", "lo", "parent", "1:", "classid", _CLASS, *line],
        [*add, *queue],
    ]
    for direction in ("dport", "sport"):
        match = ["u32", "match", "ip", direction, str(port), "0xffff", "flowid", _CLASS]
        commands.append(["tc", "filter", "add", "dev", "lo", "parent", "1:", "protocol", "ip", *match])
    for command in commands:
        complaint = run(command)
        if complaint is not None:
            return f"`{' '.join(command)}` says {complaint}"
    return None
