import pytest
from hypothesis import given
from hypothesis import strategies as st

from littoral.wire.relay import PurgesKnown, RelayRequest, decode_age_s, decode_request, encode_request

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.from_regex(r"([0-9a-f]{1,64})?", fullmatch=True), st.integers(0, 1 << 60))
def test_what_is_written_is_read(route: str, log: str, following: int) -> None:
    request = RelayRequest(route, PurgesKnown(log, following))
    value = encode_request(request)
    assert value == value.strip(), "nothing of it is lost on its way"
    assert decode_request(value) == request


@pytest.mark.parametrize(
    "value",
    ["", "pages", "pages 1", "pages 1 ", " pages 1 a", "pages x a", "pages -1 a", "Pages 1 a", "a 1 b c", "a 1 é"],
)
def test_what_is_written_otherwise_is_not_read(value: str) -> None:
    assert decode_request(value) is None


@given(st.text())
def test_whatever_is_said_is_read_or_not(value: str) -> None:
    decode_request(value)
    decode_age_s(value)


@pytest.mark.parametrize(("value", "age_s"), [("0", 0.0), ("1234", 1.234), ("", None), ("-1", None), ("1.5", None)])
def test_ages(value: str, age_s: float | None) -> None:
    assert decode_age_s(value) == age_s
