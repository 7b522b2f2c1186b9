"""Rules of routes and origins that span fields. Each row: what is put into a valid document, and what the writer is told."""

import pytest

from littoral.core.resources.decode import decode_resources, inspect_resources

TARGETS = "targets: [{url: 'http://127.0.0.1:80'}]"


def origin(*lines: str) -> str:
    spec = "\n  ".join(lines if any("targets" in line for line in lines) else (TARGETS, *lines))
    return f"apiVersion: littoral/v1\nkind: Origin\nmetadata: {{name: n}}\nspec:\n  {spec}\n"


def route(*lines: str) -> str:
    spec = "\n  ".join(("match: [{path: /a/*}]", *lines))
    return f"apiVersion: littoral/v1\nkind: Route\nmetadata: {{name: n}}\nspec:\n  {spec}\n"


VALID = {
    "cache before an origin": route("origin: a", "cache: {ttl: 1m}"),
    "cache before an app": route("app: a", "cache: {}", "stripPrefix: /a"),
    "files": route("static: {directory: /srv, precompressed: true}"),
    "targets": origin("targets: [{url: 'https://[::1]:8443', host: shop.example}, {url: 'http://a', host: 'b:80'}]"),
    "host": origin("host: 'shop.example:8080'"),
    "hash by a header": origin("balance: consistent-hash", "hashBy: {header: X-User}"),
    "hash by a cookie": origin("balance: consistent-hash", "hashBy: {cookie: session}"),
    "hash by the client": origin("balance: consistent-hash", "hashBy: {client: true}"),
    "affinity": origin("affinity: {}"),
    "affinity in all its parts": origin(
        "affinity: {cookie: {name: stay, maxAge: 1h, sameSite: none, secure: true}}",
    ),
    "health": origin("health: {path: /up, statuses: ['200-299', '401', '404-404'], interval: 1s, timeout: 10ms}"),
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_valid(text: str) -> None:
    assert len(decode_resources(text, "a.yaml")) == 1


BROKEN = [
    (route("static: {directory: /srv}", "cache: {}"), "spec.cache: files are not cached"),
    (route("app: a", "origin: b"), "found origin and app; a route leads to exactly one of origin, app, static"),
    (route("app: a", "cache: {ttl: soon}"), "spec.cache.ttl"),
    (origin("targets: [{url: 'http://a:80'}, {url: 'http://a:0'}]"), "spec.targets[1].url: found"),
    (origin("targets: []"), "spec.targets: found no elements; expected at least 1"),
    (
        origin(f"targets: [{', '.join(f'{{url: http://a{number}}}' for number in range(1001))}]"),
        "spec.targets: found 1001 elements; expected at most 1000",
    ),
    (origin("targets: [{url: 'http://a'}, {url: 'http://a'}]"), 'the url "http://a" is already in element 0'),
    (origin("targets: [{url: 'http://a', host: 'b/c'}]"), "spec.targets[0].host: found"),
    (origin("host: 'http://shop.example'"), "spec.host: found"),
    (origin("balance: consistent-hash", "hashBy: {}"), "found none; it is exactly one of header, cookie, client: true"),
    (
        origin("balance: consistent-hash", "hashBy: {header: a, client: true}"),
        "found header and client; it is exactly one of header, cookie, client: true",
    ),
    (origin("hashBy: {header: a}"), 'nothing is hashed with balance "least-request"; write "balance: consistent-hash"'),
    (origin("affinity: {cookie: {maxAge: 1ms}}"), "spec.affinity.cookie.maxAge: found"),
    (origin("affinity: {cookie: {name: 'a b'}}"), "spec.affinity.cookie.name"),
    (origin("affinity: {cookie: {sameSite: none, secure: false}}"), 'remove this, or write sameSite "lax"'),
    (origin("health: {path: /, statuses: []}"), "spec.health.statuses: found no elements"),
    (origin("health: {path: /, statuses: ['399-200']}"), 'which no status is in; write "200-399"'),
    (origin("health: {path: /, statuses: ['2xx']}"), "spec.health.statuses[0]"),
    (origin("health: {path: /, statuses: ['101']}"), "spec.health.statuses[0]"),
    (origin("health: {path: /, interval: 1ms}"), "spec.health.interval: found"),
    (origin("health: {path: /, timeout: 1ms}"), "spec.health.timeout: found"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_broken(text: str, message: str) -> None:
    resources, problems = inspect_resources(text)
    assert resources == []
    assert len(problems) == 1
    assert message in str(problems[0])
    assert problems[0].line is not None
