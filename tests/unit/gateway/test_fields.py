import pytest

from littoral.gateway.fields import encoded_path, request_fields, response_fields


def test_fields_of_the_connection_do_not_reach_the_app() -> None:
    sent = [
        ("connection", "close, X-Private"),
        ("x-private", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("x-request-id", "forged"),
        ("x-forwarded-for", "10.0.0.1"),
        ("accept", "*/*"),
    ]
    assert request_fields(sent, "192.0.2.7", "r-1") == [
        ("accept", "*/*"),
        ("x-forwarded-for", "10.0.0.1, 192.0.2.7"),
        ("x-request-id", "r-1"),
    ]


def test_fields_of_the_connection_do_not_reach_the_client() -> None:
    answered = [("Connection", "close"), ("Content-Length", "999"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")]
    assert response_fields(answered, "r-1") == [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-request-id", "r-1")]


@pytest.mark.parametrize("field", [("x", "a\r\nb: c"), ("x y", "a"), ("", "a"), ("x", "\x00")])
def test_a_field_that_http_does_not_allow_spoils_the_response(field: tuple[str, str]) -> None:
    assert response_fields([field], "r-1") is None


@pytest.mark.parametrize(
    ("decoded", "encoded"), [("/a-b/c~d", "/a-b/c~d"), ("/a b", "/a%20b"), ("/ö?#", "/%C3%B6%3F%23"), ("/%", "/%25")]
)
def test_a_decoded_path_is_encoded_again(decoded: str, encoded: str) -> None:
    assert encoded_path(decoded) == encoded
