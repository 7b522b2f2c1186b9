"""Join tokens: printing, reading, and what a parent makes of them."""

import msgspec
import pytest

from littoral.core.errors import Conflict, Forbidden, InvalidInput, LittoralError, Unauthenticated
from littoral.security.join import JoinTokenRecord, check_ca, check_token, create_token, hash_secret, parse_token
from littoral.testing.random import SeededRandom
from tests.support.tree import Tree

NOW_MS = 1_700_000_000_000
KEY, OTHER_KEY = b"key of plant-a", b"key of somebody else"


def made(node: str = "plant-a", fingerprint: bytes = bytes(32)) -> tuple[str, JoinTokenRecord]:
    return create_token(
        node=node,
        parent="eu",
        join_url="https://127.0.0.1:7002",
        ca_fingerprint=fingerprint,
        ttl_ms=60_000,
        now_ms=NOW_MS,
        random=SeededRandom(1),
    )


def test_a_printed_token_says_who_where_and_by_which_ca() -> None:
    text, record = made()
    assert text.startswith("lt1.")
    assert text.isprintable()
    token = parse_token(f"  {text}\n")
    assert (token.node, token.parent, token.join_url) == ("plant-a", "eu", "https://127.0.0.1:7002")
    assert token.ca_fingerprint == bytes(32)
    assert record.secret_hash == hash_secret(token.secret)


def test_the_parent_does_not_keep_the_secret() -> None:
    text, record = made()
    assert parse_token(text).secret not in msgspec.msgpack.encode(record)


TEXT = made()[0]
UNREADABLE = {
    "nothing": ("", 'it does not begin with "lt1."'),
    "wrong prefix": ("lt2." + TEXT[4:], 'it does not begin with "lt1."'),
    "prefix only": ("lt1.", "cut short or damaged"),
    "cut by one": (TEXT[:-1], "lacks its end|cut short"),
    "cut in half": (TEXT[: len(TEXT) // 2], "lacks its end|cut short"),
    "garbage": ("lt1.!!!!", "characters no token has"),
    "not ASCII": ("lt1.é", "characters no token has"),
    "line break inside": (TEXT[:20] + "\n" + TEXT[20:], "characters no token has"),
    "other content": ("lt1.gaFhAQ", "its content is not that of a token"),
    "too long": ("lt1." + "A" * 5000, "it has 5004 characters"),
    "more after the end": (TEXT + "AAAA", "cut short or damaged"),
}


@pytest.mark.parametrize(("text", "cause"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_tokens_say_why_and_what_to_do(text: str, cause: str) -> None:
    with pytest.raises(InvalidInput, match=cause) as raised:
        parse_token(text)
    assert raised.value.remedy == "Copy the whole line that `littoral token create` printed"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"node": "Plant A"}, "a node's name is"),
        ({"node": "eu"}, "a node does not join itself"),
        ({"ttl_ms": 0}, "it would have expired already"),
        ({"join_url": "http://eu:1"}, "The join URL is https://HOST:PORT"),
    ],
)
def test_what_no_token_is_made_for(changes, cause: str) -> None:
    arguments = {"node": "plant-a", "parent": "eu", "join_url": "https://eu:1", "ttl_ms": 1} | changes
    with pytest.raises(InvalidInput, match=cause):
        create_token(**arguments, ca_fingerprint=bytes(32), now_ms=NOW_MS, random=SeededRandom(1))


def check(record: JoinTokenRecord | None, *, node: str = "plant-a", key: bytes = KEY, after_ms: int = 0, secret=None):
    secret = secret or parse_token(TEXT).secret
    return check_token(record, secret=secret, node=node, public_key=key, now_ms=NOW_MS + after_ms)


def test_a_token_lets_its_node_in_and_remembers_the_key() -> None:
    used = check(made()[1], after_ms=5)
    assert (used.used_ms, used.used_by) == (NOW_MS + 5, KEY)


def test_the_same_key_may_show_it_again_because_the_answer_may_have_been_lost() -> None:
    used = check(made()[1], after_ms=5)
    assert check(used, after_ms=10) == used


REFUSED = {
    "unknown": ({"record": None}, Unauthenticated, "it is unknown here"),
    "wrong secret": ({"secret": bytes(32)}, Unauthenticated, "it is unknown here"),
    "another node's": ({"node": "plant-b"}, Forbidden, "it was made for the node plant-a"),
    "expired": ({"after_ms": 65_000}, Unauthenticated, "it expired 5 s ago"),
    "expires in this millisecond": ({"after_ms": 60_000}, Unauthenticated, "it expired 0 s ago"),
    "used by another key": ({"record": check(made()[1]), "key": OTHER_KEY}, Conflict, "it was used already"),
    "used, then expired": ({"record": check(made()[1]), "after_ms": 60_000}, Unauthenticated, "it expired"),
}


@pytest.mark.parametrize(("changes", "error", "cause"), REFUSED.values(), ids=REFUSED)
def test_refused_tokens_say_why_and_what_to_do(changes, error: type[LittoralError], cause: str) -> None:
    arguments = {"record": made()[1]} | changes
    with pytest.raises(error, match=cause) as raised:
        check(**arguments)
    node = arguments.get("node", "plant-a")
    assert raised.value.remedy == f"Create a new one with `littoral token create {node}` at the parent"


def test_a_node_sends_the_secret_only_to_a_listener_of_the_tree_that_made_the_token() -> None:
    tree, other = Tree(1), Tree(2)
    token = parse_token(made(fingerprint=tree.authority.fingerprint)[0])
    assert check_ca(tree.authority.certificate_pem, token) == tree.authority.certificate_pem
    with pytest.raises(Unauthenticated, match="its CA is not the one that the join token names"):
        check_ca(other.authority.certificate_pem, token)
