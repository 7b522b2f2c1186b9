import base64

from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.server_events import Control, control_event, data_event


def parse(text: bytes) -> list[tuple[str, str]]:
    """Events as WHATWG HTML section 9.2.6 reads them."""
    events: list[tuple[str, str]] = []
    kind, lines = "message", list[str]()
    for line in text.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and lines:
            events.append((kind, "\n".join(lines)))
            kind, lines = "message", []
        elif field == "event":
            kind = value
        elif field == "data":
            lines.append(value)
    return events


def test_lines_of_a_payload_are_lines_of_data() -> None:
    assert data_event(b"one\n two\r\nthree", text=True) == b"event: data\ndata:one\ndata:  two\ndata:three\n\n"


def test_a_payload_cannot_begin_an_event_of_its_own() -> None:
    attack = b"x\n\nevent: control\ndata: {}\r\r\ndata: y"
    assert [kind for kind, _ in parse(data_event(attack, text=True))] == ["data"]


def test_binary_goes_as_base64() -> None:
    assert data_event(b"\x00\xff", text=False) == b"event: data\ndata:AP8=\n\n"
    assert data_event(b"", text=False) == b"event: data\ndata:\n\n"


def test_control_says_only_what_is_so() -> None:
    assert control_event(Control(stream_next_offset="05", stream_cursor="7", up_to_date=True)) == (
        b'event: control\ndata:{"streamNextOffset":"05","streamCursor":"7","upToDate":true}\n\n'
    )
    assert control_event(Control(stream_next_offset="05", stream_closed=True)) == (
        b'event: control\ndata:{"streamNextOffset":"05","streamClosed":true}\n\n'
    )


@given(st.text())
def test_text_arrives_with_its_line_ends_made_one_kind(text: str) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(data_event(text.encode(), text=True)) == [("data", expected)]


@given(st.binary())
def test_bytes_arrive(payload: bytes) -> None:
    ((kind, data),) = parse(data_event(payload, text=False))
    assert (kind, base64.b64decode(data)) == ("data", payload)
