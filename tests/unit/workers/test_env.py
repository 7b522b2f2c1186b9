import pytest

from littoral.workers import Env


def test_bindings_are_attributes_and_a_missing_one_says_what_there_is() -> None:
    env = Env({"KV": 1, "GREETING": "moin"})
    assert env.GREETING == "moin"
    assert sorted(env) == ["GREETING", "KV"]
    with pytest.raises(AttributeError, match="no binding or variable 'DB'; this app has: GREETING, KV"):
        _ = env.DB
