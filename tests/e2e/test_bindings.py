"""What a function finds in `env` on a node as it is in production: variables, key-value, secrets."""

import textwrap

import msgspec

from littoral.core.resources import App, Namespace
from littoral.fleet.bundles import pack_bundle
from tests.support.real_node import RealNode

TOKEN = "first-token-that-nobody-may-see"
LATER = "later-token-that-nobody-may-see"
CODE = """
from workers import Response, WorkerEntrypoint, caches, env

AT_IMPORT = env.TOKEN


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        kv, config = self.env.KV, self.env.CONFIG
        print("the token is", self.env.TOKEN)
        await kv.put("session/1", "v", {"expirationTtl": 3600, "metadata": {"user": "ann"}})
        await kv.put("session/2", "w")
        try:
            await kv.put("soon", "v", expirationTtl=5)
        except Exception as error:
            refused = f"{type(error).__name__}: {error}"
        kept = await caches.default.match("https://any.example/page")
        if kept is None:
            await caches.default.put("https://any.example/page", Response(self.env.TOKEN))
            kept = await caches.default.match("https://any.example/page")
        read = await kv.getWithMetadata("session/1")
        page = await kv.list(prefix="session/")
        return Response.json({
            "token": self.env.TOKEN, "import": AT_IMPORT, "host": config.hosts[0].name, "most": self.env.MOST,
            "cached": await kept.text(), "refused": refused, "value": read.value, "user": read.metadata.user,
            "many": await kv.get(["session/1", "session/2", "none"]),
            "keys": [[key.name, key.metadata, key.expiration is not None] for key in page.keys],
        })
"""
DOCUMENT = {
    "kind": "App",
    "apiVersion": "littoral/v1",
    "metadata": {"name": "shop"},
    "spec": {
        "main": "main.py",
        "routes": [{"path": "/*"}],
        "kv": [{"binding": "KV", "namespace": "sessions"}],
        "vars": {"CONFIG": {"hosts": [{"name": "a.example"}]}, "MOST": 5},
    },
}


def test_a_function_has_its_variables_key_value_and_secrets_and_nobody_else_has_the_secrets():
    with RealNode("cloud", listen={"gateway": "127.0.0.1:0"}).start() as node:
        namespace = {"kind": "Namespace", "apiVersion": "littoral/v1", "metadata": {"name": "sessions"}}
        assert node.api("PUT", "/v1/secrets/shop/TOKEN", TOKEN.encode()).status == 204
        node.apply(msgspec.convert(namespace, Namespace))
        node.apply(msgspec.convert(DOCUMENT, App), pack_bundle("shop", {"main.py": textwrap.dedent(CODE).encode()}))
        node.until(lambda: node.get("/").status == 200)
        answer = node.get("/").json()
        assert answer == {
            "token": TOKEN,
            "import": TOKEN,
            "host": "a.example",
            "most": 5,
            "cached": TOKEN,
            "refused": "KVError: cannot put key soon: it would expire in 5 seconds; at least 60 are needed. "
            "Give seconds since the epoch, or seconds from now",
            "value": "v",
            "user": "ann",
            "many": {"session/1": "v", "session/2": "w", "none": None},
            "keys": [["session/1", {"user": "ann"}, True], ["session/2", None, False]],
        }
        details = node.api("GET", "/v1/kv/sessions/session/1?details=true").json()
        assert details["metadata"] == {"user": "ann"}
        # Another value reaches the workers without a deploy.
        assert node.api("PUT", "/v1/secrets/shop/TOKEN", LATER.encode()).status == 204
        node.until(lambda: node.get("/").json()["token"] == LATER)
        assert node.api("GET", "/v1/secrets/shop").json() == ["TOKEN"]
        told = [node.api("GET", path).body for path in ("/v1/resources", "/v1/status", "/v1/nodes", "/v1/apps")]
        log = node.log()
        node.until(lambda: "the token is [secret]" in node.log())
        node.stop()
        on_disk = [path.read_bytes() for path in node.data_dir.rglob("*") if path.is_file()]
        assert any(b"session/1" in each for each in on_disk)
        for secret in (TOKEN.encode(), LATER.encode()):
            assert not any(secret in each for each in [*told, *on_disk, log.encode(), node.log().encode()])
