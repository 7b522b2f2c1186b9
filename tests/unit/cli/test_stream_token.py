"""Making a token for a client of the streams listener."""

import json

from littoral.cli.main import run
from littoral.core.resources.model import StreamClient
from littoral.security.stream_clients import StreamClients


def client_of(token: str, token_hash: str) -> str | None:
    return StreamClients([StreamClient(name="ann", token_hash=token_hash)]).client_of(f"Bearer {token}")


def test_a_token_is_printed_with_its_hash(capsys):
    assert run(["stream", "token"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first.split()[0], second.split()[0]) == ("token:", "tokenHash:")
    assert client_of(first.split()[1], second.split()[1]) == "ann"


def test_programs_get_json_and_each_time_another(capsys):
    made = []
    for _ in range(2):
        assert run(["stream", "token", "--json"]) == 0
        made.append(json.loads(capsys.readouterr().out))
    assert made[0].keys() == {"token", "tokenHash"}
    assert client_of(made[0]["token"], made[0]["tokenHash"]) == "ann"
    assert made[0]["token"] != made[1]["token"]
