"""The HTTP side of subscriptions, below the address of a node's own streams and below that of all streams:

    GET     __ds/jwks.json                          the keys that webhooks are signed with; open to everybody
    PUT     __ds/subscriptions/ID                   make, or make sure that it is there as asked
    GET     __ds/subscriptions/ID    DELETE
    POST    __ds/subscriptions/ID/streams           link streams by name
    DELETE  __ds/subscriptions/ID/streams/PATH
    POST    __ds/subscriptions/ID/claim             pull-wake: take a wake
    POST    __ds/subscriptions/ID/callback          webhook: by the token of the wake
    POST    __ds/subscriptions/ID/ack  …/release    pull-wake: by the token of the wake

What a path names, a subscription links: below `/v1/stream/` streams of this node, below `/v1/streams/` also copies of
other nodes' streams, as NODE/PATH. The two have subscriptions of their own.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from littoral.core.clock import Clock
from littoral.core.errors import Forbidden, LittoralError, TooLarge
from littoral.core.http import Headers, Request, Response
from littoral.core.limits import SUBSCRIPTION_BODY_BYTES, SUBSCRIPTION_LEASE_MS, Limits
from littoral.core.names import STREAM_PART, SYSTEM_STREAMS, StreamName
from littoral.security.bearer import bearer
from littoral.security.webhook_key import WakeRef, WebhookKey
from littoral.store.store import Store
from littoral.streams.answers import NO_STORE, answer
from littoral.streams.server import OWN_PREFIX, PREFIX
from littoral.streams.subscriptions.dispatcher import Dispatcher, told_streams
from littoral.streams.subscriptions.membership import Membership
from littoral.streams.subscriptions.record import NO_LINK, Root, Subscription, acked_of, links_of, names_of
from littoral.streams.subscriptions.rights import Caller
from littoral.streams.subscriptions.targets import WebhookTargets
from littoral.streams.subscriptions.wakes import Wakes, not_found
from littoral.wire.durable_streams import format_offset
from littoral.wire.problem import RETRY_AFTER_S
from littoral.wire.subscriptions import (
    JWKS_TYPE,
    LEASE_DEFAULT_MS,
    RESERVED,
    Additions,
    ClaimBody,
    Creation,
    Glob,
    Refused,
    WakeCall,
    encode,
    read_body,
    refusal_of,
    timestamp,
)

KEYS_FRESH_S = 300
"""How long a receiver may go by the keys it fetched."""
NEXT_LOOKED_AT = 64
"""Streams, besides those of a wake that ends, that are looked at to say whether there is another."""
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


class SubscriptionApi:
    """Answers requests."""

    def __init__(
        self,
        store: Store,
        wakes: Wakes,
        membership: Membership,
        dispatcher: Dispatcher,
        targets: WebhookTargets,
        key: Callable[[], WebhookKey],
        clock: Clock,
        limits: Limits,
        base_url: str | None,
    ) -> None:
        """base_url: where this node is called at, "https://host:port"; None for where a request says it came to."""
        self._store = store
        self._wakes = wakes
        self._membership = membership
        self._dispatcher = dispatcher
        self._targets = targets
        self._key = key
        self._clock = clock
        self._limits = limits
        self._base_url = base_url

    async def handle(self, request: Request, caller: Callable[[], Caller]) -> Response:
        """Answer one request whose path `is_control`. Refusals are answers too. caller: who asks, where that matters;
        raises for somebody who shows a token that is nobody's."""
        try:
            return await self._route(request, caller)
        except Refused as refused:
            return _refusal(refused)
        except LittoralError as error:
            return _refusal(refusal_of(error))

    async def _route(self, request: Request, caller: Callable[[], Caller]) -> Response:
        most = self._limits[SUBSCRIPTION_BODY_BYTES]
        if len(request.body) > most:
            self._limits.hit(SUBSCRIPTION_BODY_BYTES)
            raise TooLarge(request.method, request.path[:120], f"the body is larger than {most} bytes")
        prefix = OWN_PREFIX if request.path.startswith(OWN_PREFIX) else PREFIX
        root = Root("own" if prefix == OWN_PREFIX else "tree", self._store.node)
        parts = request.path.removeprefix(prefix).split("/")[1:]
        if request.method == "OPTIONS":
            return answer(204, (("Allow", "GET, PUT, POST, DELETE, OPTIONS"), *_CORS))
        if parts == ["jwks.json"]:
            return self._keys(request)
        if len(parts) < 2 or parts[0] != "subscriptions":
            raise Refused("SUBSCRIPTION_NOT_FOUND", f"{request.path[:120]} is no control address")
        if not STREAM_PART.fullmatch(parts[1]):
            raise Refused(
                "INVALID_REQUEST",
                f"{parts[1][:120]!r} is no id: at most 100 of A-Z, a-z, 0-9, '.', '_', '~', '-', beginning with a letter, "
                "a digit or '_'",
            )
        asked = _Asked(request, root, parts[1], f"{self._base(request)}{prefix}{RESERVED}")
        return await self._on_subscription(asked, parts[2:], caller)

    async def _on_subscription(self, asked: "_Asked", rest: list[str], caller: Callable[[], Caller]) -> Response:
        method = asked.request.method
        if not rest:
            match method:
                case "PUT":
                    return await self._put(asked, caller())
                case "GET":
                    return self._get(asked, caller())
                case "DELETE":
                    return await self._delete(asked, caller())
        elif rest[0] == "streams":
            if method == "POST" and len(rest) == 1:
                return await self._add(asked, caller())
            if method == "DELETE" and len(rest) > 1:
                return await self._remove(asked, "/".join(rest[1:]), caller())
        elif len(rest) > 1 or rest[0] not in ("claim", "callback", "ack", "release"):
            raise Refused("SUBSCRIPTION_NOT_FOUND", f"{asked.request.path[:120]} is no control address")
        elif method == "POST":
            return await self._on_wake(asked, rest[0], caller)
        raise Refused("METHOD_NOT_ALLOWED", f"{method} is not what {asked.request.path[:120]} takes")

    async def _on_wake(self, asked: "_Asked", action: str, caller: Callable[[], Caller]) -> Response:
        if action == "claim":
            return await self._claim(asked, caller())
        if action == "release":
            return await self._release(asked)
        return await self._progress(asked, "webhook" if action == "callback" else "pull-wake")

    def _base(self, request: Request) -> str:
        if self._base_url is not None:
            return self._base_url
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            raise Refused("INVALID_REQUEST", "the Host header does not say where this node was called at")
        return f"http://{host}"

    # Subscriptions

    def _keys(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise Refused("METHOD_NOT_ALLOWED", f"{request.method} is not what {request.path} takes")
        headers = (("Content-Type", JWKS_TYPE), ("Cache-Control", f"public, max-age={KEYS_FRESH_S}"))
        return answer(200, headers, encode({"keys": [self._key().jwk]}))

    async def _put(self, asked: "_Asked", caller: Caller) -> Response:
        caller.check("manage", asked.control, "subscribe")
        wanted, explicit = self._wanted(asked, read_body(asked.request.body, Creation), caller)
        if wanted.kind == "webhook":
            self._key()  # Made now, or the disk's refusal is told now.
        present = [info.name for info in self._store.streams()] if wanted.pattern is not None else []
        new = await self._store.submit(lambda tx: self._membership.create(tx, wanted, explicit, present))
        subscription = self._looked_at(asked.key)
        return _json(201 if new else 200, self._document(subscription, asked))

    def _wanted(self, asked: "_Asked", body: Creation, caller: Caller) -> tuple[Subscription, Sequence[StreamName]]:
        """The subscription that a PUT asks for, and the streams it names. Raises Refused, and what the caller's rights
        raise."""
        root = asked.root
        explicit = sorted({root.stream(path) for path in body.streams or ()})
        if body.pattern is None and not explicit:
            raise Refused("INVALID_REQUEST", "it subscribes to nothing: say pattern or streams")
        url, wake_stream = None, None
        if body.type == "webhook":
            if body.webhook is None:
                raise Refused("INVALID_REQUEST", "a webhook subscription needs webhook.url")
            url = body.webhook.url
            self._targets.check(url)
        else:
            if body.wake_stream is None:
                raise Refused("INVALID_REQUEST", "a pull-wake subscription needs wake_stream")
            wake_stream = root.stream(body.wake_stream)
            if wake_stream.path.partition("/")[0] in SYSTEM_STREAMS:
                raise Forbidden("use wake stream", str(wake_stream), "Littoral writes this stream itself")
            caller.check("append", wake_stream, "use wake stream")
        if body.pattern is not None:
            caller.check_pattern(root, Glob(body.pattern), "subscribe to")
        caller.check_all("read", explicit, "subscribe to")
        lease_ttl_ms = LEASE_DEFAULT_MS if body.lease_ttl_ms is None else body.lease_ttl_ms
        most_ms = self._limits[SUBSCRIPTION_LEASE_MS]
        if lease_ttl_ms > most_ms:
            self._limits.hit(SUBSCRIPTION_LEASE_MS)
            raise Refused("INVALID_REQUEST", f"lease_ttl_ms is {lease_ttl_ms}; this node allows {most_ms}")
        target = url or str(wake_stream)
        said = [body.type, body.pattern, [str(name) for name in explicit], target, lease_ttl_ms, body.description]
        wanted = Subscription(
            root=root.name,
            id=asked.id,
            kind=body.type,
            pattern=body.pattern,
            url=url,
            wake_stream=wake_stream,
            lease_ttl_ms=lease_ttl_ms,
            description=body.description,
            digest=hashlib.sha256(msgspec.json.encode(said)).hexdigest(),
            owner=caller.owner,
            base_url=asked.base,
            created_ms=self._clock.wall_ms(),
            generation=0,
        )
        return wanted, explicit

    def _get(self, asked: "_Asked", caller: Caller) -> Response:
        caller.check("read", asked.control, "read subscription")
        return _json(200, self._document(self._looked_at(asked.key), asked))

    async def _delete(self, asked: "_Asked", caller: Caller) -> Response:
        caller.check("manage", asked.control, "delete subscription")
        await self._store.submit(lambda tx: self._membership.delete(tx, asked.key))
        self._dispatcher.poke(asked.key)
        self._dispatcher.index.entry(asked.key)
        return answer(204)

    async def _add(self, asked: "_Asked", caller: Caller) -> Response:
        caller.check("manage", asked.control, "change subscription")
        body = read_body(asked.request.body, Additions)
        names = sorted({asked.root.stream(path) for path in body.streams})
        caller.check_all("read", names, "subscribe to")
        await self._store.submit(lambda tx: self._membership.add(tx, asked.key, names))
        self._looked_at(asked.key)
        self._dispatcher.index.relink(asked.key)
        return answer(204)

    async def _remove(self, asked: "_Asked", path: str, caller: Caller) -> Response:
        caller.check("manage", asked.control, "change subscription")
        name = asked.root.stream(path)
        await self._store.submit(lambda tx: self._membership.remove(tx, asked.key, name))
        self._looked_at(asked.key)
        self._dispatcher.index.relink(asked.key)
        return answer(204)

    # Wakes

    async def _claim(self, asked: "_Asked", caller: Caller) -> Response:
        caller.check("append", asked.control, "claim a wake of subscription")
        worker = read_body(asked.request.body, ClaimBody).worker
        self._looked_at(asked.key)
        names, wake_id = self._dispatcher.index.pending(asked.key), self._dispatcher.new_wake_id()
        signer = self._key()
        claimed = await self._store.submit(lambda tx: self._wakes.claim(tx, asked.key, worker, names, wake_id))
        self._looked_at(asked.key)
        if claimed is None:
            raise Refused("NO_PENDING_WORK", f"subscription {asked.id} has nothing to do")
        subscription, wake = claimed
        self._dispatcher.index.woken(asked.key)
        body = {
            "wake_id": wake.id,
            "generation": subscription.generation,
            "token": signer.token(WakeRef(asked.key, subscription.generation, wake.id)),
            "streams": told_streams(subscription, wake, self._store.node),
            "lease_ttl_ms": subscription.lease_ttl_ms,
        }
        return _json(200, body)

    async def _progress(self, asked: "_Asked", kind: str) -> Response:
        ref, call = self._shown(asked)
        self._looked_at(asked.key)
        names = self._dispatcher.index.pending(asked.key, NEXT_LOOKED_AT)
        more = await self._store.submit(lambda tx: self._wakes.progress(tx, ref, call, names, kind))
        self._looked_at(asked.key)
        return _json(200, {"ok": True, "next_wake": more})

    async def _release(self, asked: "_Asked") -> Response:
        ref, call = self._shown(asked)
        await self._store.submit(partial(self._wakes.release, ref=ref, call=call))
        self._looked_at(asked.key)
        return answer(204)

    def _shown(self, asked: "_Asked") -> tuple[WakeRef, WakeCall]:
        """The wake whose token a request shows, and what it says. Raises Refused."""
        ref = self._key().wake_of(asked.key, bearer(asked.request.headers.get("authorization")))
        if ref is None:
            raise Refused("TOKEN_INVALID", "the bearer token is not that of a wake of this subscription")
        return ref, read_body(asked.request.body, WakeCall)

    # Answers

    def _looked_at(self, key: str) -> Subscription:
        """The subscription as it is now; the dispatcher looks at it too, until it can be read. Raises Refused."""
        self._dispatcher.poke(key)
        entry = self._dispatcher.index.entry(key)
        if entry is None:
            raise not_found(key)
        return entry.subscription

    def _document(self, subscription: Subscription, asked: "_Asked") -> dict[str, Any]:
        entry = self._dispatcher.index.entry(subscription.key)
        failing = subscription.failures > 0
        webhook = None
        if subscription.url is not None:
            signing = {"alg": "ed25519", "kid": self._key().kid, "jwks_url": f"{asked.base}/jwks.json"}
            webhook = {"url": subscription.url, "signing": signing}
        document: dict[str, Any] = {
            "id": subscription.id,
            "subscription_id": subscription.id,
            "type": subscription.kind,
            "pattern": subscription.pattern,
            "streams": self._streams(subscription, asked.root),
            "webhook": webhook,
            "wake_stream": None if subscription.wake_stream is None else asked.root.path(subscription.wake_stream),
            "lease_ttl_ms": subscription.lease_ttl_ms,
            "created_at": timestamp(subscription.created_ms),
            "status": "failed" if failing else "active",
            "description": subscription.description,
            "generation": subscription.generation,
        }
        if failing and entry is not None:
            at_ms = subscription.not_before_ms if entry.wake is None else entry.wake.due_ms
            document |= {"last_error": subscription.error, "next_attempt_at": timestamp(at_ms)}
        return document

    def _streams(self, subscription: Subscription, root: Root) -> list[dict[str, str]]:
        entry = self._dispatcher.index.entry(subscription.key)
        if entry is None:
            return []
        links, node = links_of(self._store, subscription.key), self._store.node
        explicit = {name: link for name, link in names_of(links) if link.explicit}
        offsets = dict.fromkeys(explicit, 0)
        for info in self._store.streams():
            if info.name in explicit or entry.members.matched(info.name):
                offsets[info.name] = acked_of(links.get(str(info.name), NO_LINK), info, node)
        return [
            {
                "path": root.path(name),
                "link_type": "explicit" if name in explicit else "glob",
                "acked_offset": format_offset(acked),
            }
            for name, acked in sorted(offsets.items())
        ]


class _Asked:
    """A request about one subscription."""

    __slots__ = ("base", "control", "id", "key", "request", "root")

    def __init__(self, request: Request, root: Root, subscription: str, base: str) -> None:
        self.request = request
        self.root = root
        self.id = subscription
        self.base = base
        self.key = f"{root.name}/{subscription}"
        self.control = StreamName(root.node, f"{RESERVED}/subscriptions/{subscription}")
        """What rights to the subscription are rights to."""


def is_control(path: str) -> bool:
    """Whether a path belongs to the control addresses rather than to a stream."""
    return path.startswith(_CONTROL) or path in _ROOTS


_ROOTS = (f"{OWN_PREFIX}{RESERVED}", f"{PREFIX}{RESERVED}")
_CONTROL = tuple(f"{root}/" for root in _ROOTS)
_CORS: Headers = (
    ("Access-Control-Allow-Methods", "GET, PUT, POST, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
)


def _json(status: int, body: dict[str, Any]) -> Response:
    return answer(status, (("Content-Type", "application/json"), *NO_STORE), encode(body))


def _refusal(refused: Refused) -> Response:
    headers = [("Content-Type", "application/json"), *NO_STORE]
    if refused.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    if refused.status in (429, 503):
        headers.append(("Retry-After", RETRY_AFTER_S))
    return answer(refused.status, headers, refused.body())
