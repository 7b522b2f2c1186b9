import pytest

from littoral.core.errors import Unauthenticated
from littoral.core.resources.decode import decode_resources
from littoral.core.resources.model import Node, StreamClient
from littoral.security.stream_clients import StreamClients, make_stream_token, token_hash
from littoral.testing.random import SeededRandom

RANDOM = SeededRandom(1)
ANN, BOB = make_stream_token(RANDOM), make_stream_token(RANDOM)
CLIENTS = StreamClients([StreamClient(name="ann", token_hash=ANN.hash), StreamClient(name="bob", token_hash=BOB.hash)])


def test_a_token_is_32_bytes_of_chance_and_its_hash_says_nothing_of_it() -> None:
    assert len({ANN.token, BOB.token, ANN.hash, BOB.hash}) == 4
    assert len(ANN.token) == 43
    assert ANN.hash == token_hash(ANN.token)
    assert ANN.token not in ANN.hash


def test_the_known_answer_of_fips_180() -> None:
    """The SHA-256 of "abc", in base64url."""
    assert token_hash("abc") == "sha256$ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"


def test_a_nodes_document_takes_the_hash() -> None:
    text = "apiVersion: littoral/v1\nkind: Node\nmetadata: {name: a}\nspec:\n  tier: site\n"
    text += f"  streams: {{clients: [{{name: ann, tokenHash: {ANN.hash}}}]}}\n"
    (node,) = decode_resources(text, "node.yaml")
    assert isinstance(node, Node)
    assert StreamClients(node.spec.streams.clients).client_of(f"Bearer {ANN.token}") == "ann"


@pytest.mark.parametrize(
    ("authorization", "client"),
    [(f"Bearer {ANN.token}", "ann"), (f"bearer  {BOB.token} ", "bob"), (None, None)],
)
def test_who_shows_a_token_is_known(authorization: str | None, client: str | None) -> None:
    assert CLIENTS.client_of(authorization) == client


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {make_stream_token(RANDOM).token}",
        f"Bearer {ANN.token[:-1]}",
        f"Bearer {ANN.token}A",
        f"Bearer {ANN.token} {BOB.token}",
        f"Bearer {ANN.hash}",
        f"Bearer {ANN.hash.removeprefix('sha256$')}",
        f"Basic {ANN.token}",
        "Bearer " + "é" * 43,
        "Bearer",
        "Bearer ",
        ANN.token,
        "",
    ],
)
def test_what_is_nobodys_is_refused_and_nobody_is_let_in_without_a_name_for_it(authorization: str) -> None:
    for clients in (CLIENTS, StreamClients([])):
        with pytest.raises(Unauthenticated, match="the bearer token is no client's of this node. Ask its operator"):
            clients.client_of(authorization)
