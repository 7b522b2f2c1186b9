"""What a process does not need it does not load: a node is several processes, and each starts with its imports."""

import subprocess
import sys

import pytest

STORE = {"apsw", "littoral.store.store"}
NOT_AT_ONCE = {"cryptography", "yaml", "prometheus_client", "granian", "rich"}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        pytest.param("littoral.node.supervisor", {*NOT_AT_ONCE, *STORE, "asyncio", "ssl"}, id="supervisor"),
        pytest.param("littoral.node.hub_process", NOT_AT_ONCE - {"cryptography"}, id="hub"),
        # It has the cache's index.
        pytest.param("littoral.node.gateway_process", {*NOT_AT_ONCE, "littoral.store.store"}, id="gateway"),
        pytest.param("littoral.node.egress_process", {*NOT_AT_ONCE, *STORE}, id="egress"),
        pytest.param("littoral.functions.zygote.zygote", {*NOT_AT_ONCE, *STORE}, id="functions"),
        pytest.param("littoral.cli.join_token", {*NOT_AT_ONCE, *STORE}, id="token create"),
        pytest.param("littoral.cli.status", {*NOT_AT_ONCE, *STORE} - {"rich"}, id="status"),
        pytest.param("littoral.cli.stream_read", {*NOT_AT_ONCE, *STORE} - {"rich"}, id="stream read"),
        pytest.param("littoral.cli.logs", {*NOT_AT_ONCE, *STORE} - {"rich"}, id="logs"),
        # Documents are YAML.
        pytest.param("littoral.cli.apply", {*NOT_AT_ONCE, "littoral.store.store"} - {"rich", "yaml"}, id="apply"),
    ],
)
def test_it_does_not_load_what_it_does_not_need(module: str, never: set[str]):
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert never & set(done.stdout.split()) == set()
