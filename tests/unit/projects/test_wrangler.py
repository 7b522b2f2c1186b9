"""wrangler's files as App documents."""

import json
from datetime import date
from typing import Any

import pytest

from littoral.core.resources import App
from littoral.core.resources.app_assets import Assets
from littoral.projects.jsonc import read_jsonc
from littoral.projects.toml import read_toml
from littoral.projects.wrangler import Translated, Translation
from littoral.projects.wrangler_keys import INHERITED, KNOWN, OWN, REFUSED, UNDERSTOOD, UNSAID, WITHOUT_EFFECT

TODAY = date(2026, 5, 1)
LEAST = {"name": "shop", "main": "src/entry.py", "compatibility_date": "2025-11-02"}


def translation(value: dict[str, Any] | str, environment: str | None = None) -> tuple[Translated | None, Translation]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1)
    work = Translation("wrangler.jsonc", read_jsonc(text), TODAY)
    return work.translate(environment), work


def app_of(value: dict[str, Any], environment: str | None = None) -> App:
    translated, work = translation(value, environment)
    assert translated is not None, [str(each) for each in work.findings]
    return translated.app


def findings(value: dict[str, Any] | str, environment: str | None = None) -> list[str]:
    translated, work = translation(value, environment)
    assert translated is None
    return [str(each) for each in work.findings]


def warnings(value: dict[str, Any], environment: str | None = None) -> list[str]:
    translated, work = translation(value, environment)
    assert translated is not None
    return [str(each) for each in work.warnings]


PUBLISHED = """\
{
	"$schema": "node_modules/wrangler/config-schema.json",
	"name": "shop", // what it is called
	"main": "./src/entry.py",
	"compatibility_date": "2025-11-02",
	"compatibility_flags": [
		"python_workers",
	],
	"vars": { "MESSAGE": "My env var" },
	"kv_namespaces": [
		{ "binding": "FOO", "id": "<YOUR_KV_NAMESPACE_ID>" },
		{ "binding": "BAR", "id": "06779da6940b431db6e566b4846d64db" },
	],
	"triggers": { "crons": [] },
	"observability": { "enabled": true },
}
"""


def test_a_file_as_it_is_published():
    translated, work = translation(PUBLISHED)
    assert translated is not None
    spec = translated.app.spec
    assert translated.app.metadata.name == "shop"
    assert (spec.main, translated.base) == ("src/entry.py", "src")
    assert spec.vars == {"MESSAGE": "My env var"}
    assert [(kv.binding, kv.namespace) for kv in spec.kv] == [
        ("FOO", "shop-foo"),
        ("BAR", "06779da6940b431db6e566b4846d64db"),
    ]
    assert [each.metadata.name for each in translated.defaults] == ["06779da6940b431db6e566b4846d64db", "shop-foo"]
    assert [(route.host, route.path) for route in spec.routes] == [(None, "/*")]
    (warning,) = work.warnings
    assert str(warning) == (
        'wrangler.jsonc:11: kv_namespaces[0]: the id "<YOUR_KV_NAMESPACE_ID>" is no name; '
        'env.FOO gets the namespace "shop-foo"'
    )


def test_the_formats_say_the_same():
    toml = """\
name = "shop"
main = "src/entry.py"
compatibility_date = 2025-11-02
routes = ["shop.example/*", { pattern = "b.example", custom_domain = true }]
[vars]
A = "1"
[[kv_namespaces]]
binding = "KV"
id = "shop"
"""
    work = Translation("wrangler.toml", read_toml(toml), TODAY)
    translated = work.translate(None)
    assert translated is not None
    assert translated.app == app_of(
        LEAST
        | {
            "routes": ["shop.example/*", {"pattern": "b.example", "custom_domain": True}],
            "vars": {"A": "1"},
            "kv_namespaces": [{"binding": "KV", "id": "shop"}],
        }
    )


@pytest.mark.parametrize(
    ("route", "host", "path"),
    [
        ("shop.example/*", "shop.example", "/*"),
        ("https://shop.example/a/*", "shop.example", "/a/*"),
        ("*/api/*", None, "/api/*"),
        ("shop.example", "shop.example", "/"),
        ({"pattern": "shop.example/b*", "zone_name": "shop.example"}, "shop.example", "/b*"),
        ({"pattern": "shop.example", "custom_domain": True}, "shop.example", "/*"),
        ({"pattern": "shop.example/*", "zone_id": "1"}, "shop.example", "/*"),
    ],
)
def test_routes_are_requests_that_the_app_answers(route: Any, host: str | None, path: str):
    for keys in ({"routes": [route]}, {"route": route}):
        (match,) = app_of(LEAST | keys).spec.routes
        assert (match.host, match.path) == (host, path)


def test_assets_become_those_of_the_app():
    value = {
        "directory": "./public/",
        "binding": "ASSETS",
        "not_found_handling": "404-page",
        "run_worker_first": ["/api/*"],
    }
    assert app_of(LEAST | {"assets": value}).spec.assets == Assets(
        directory="public", binding="ASSETS", not_found_handling="404-page", run_worker_first=["/api/*"]
    )
    for wrong, said in (
        ({"directory": "../x"}, 'assets.directory: found "../x"; expected a folder inside'),
        ({"directory": "a", "html_handling": "odd"}, "assets.html_handling: found"),
        ({"directory": "a", "run_worker_first": ["api"]}, 'assets.run_worker_first[0]: found "api"; a pattern begins'),
    ):
        (finding,) = findings(LEAST | {"assets": wrong})
        assert said in finding


def test_variables_hold_whatever_json_can_hold():
    variables = {"TEXT": "a", "COUNT": 5, "SHARE": 0.5, "ON": True, "NONE": None, "HOST": {"api": ["a", {"b": 1}]}}
    assert app_of(LEAST | {"vars": variables}).spec.vars == variables


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"routes": ["*.example.com/*"]}, 'wrangler.jsonc:6: routes[0]: found "*.example.com/*"; a route has one host'),
        ({"routes": ["/only/a/path"]}, 'wrangler.jsonc:6: routes[0]: found "/only/a/path"; expected HOST/PATH'),
        ({"routes": ["a.example/*/b"]}, 'wrangler.jsonc:6: routes[0].path: found "/*/b"; a "*" is allowed at its end'),
        ({"routes": [5]}, "wrangler.jsonc:6: routes[0]: found 5; expected text or a mapping"),
        ({"name": "Shop_1"}, 'wrangler.jsonc:2: name: found "Shop_1"; expected a DNS label'),
        ({"vars": ["N"]}, "wrangler.jsonc:5: vars: found a list; expected a mapping"),
        ({"main": "src/index.js"}, 'wrangler.jsonc:3: main: found "src/index.js"; Littoral runs Python'),
        ({"main": "../entry.py"}, 'wrangler.jsonc:3: main: found "../entry.py"; expected a file in this folder'),
        ({"base_dir": "lib"}, 'wrangler.jsonc:5: base_dir: found "lib"; src/entry.py is not in it'),
        ({"compatibility_date": "soon"}, 'compatibility_date: found "soon"; expected a date. Say the day it was tried'),
        ({"compatibility_date": "2025-02-30"}, 'compatibility_date: found "2025-02-30"; expected a date'),
        ({"compatibility_date": "2026-05-02"}, "compatibility_date: 2026-05-02 is in the future"),
        ({"kv_namespaces": [{"id": "a"}]}, 'kv_namespaces[0]: the field "binding" is missing; it is text'),
        ({"kv_namespaces": [{"binding": "a-b", "id": "a"}]}, 'kv_namespaces[0].binding: found "a-b"; expected text'),
        (
            {"kv_namespaces": [{"binding": "A", "id": "a"}], "vars": {"A": "1"}},
            'kv_namespaces[0].binding: "A" is also in vars',
        ),
    ],
)
def test_what_is_wrong_says_file_line_key_and_what_is_allowed(keys: dict[str, Any], said: str):
    (finding,) = findings(LEAST | keys)
    assert said in finding
    assert finding.startswith("wrangler.jsonc:")


@pytest.mark.parametrize("missing", LEAST)
def test_a_key_that_must_be_there(missing: str):
    (finding,) = findings({key: value for key, value in LEAST.items() if key != missing})
    assert finding == f'wrangler.jsonc:1: the field "{missing}" is missing; it is text'


def test_the_day_itself_is_not_in_the_future():
    assert app_of(LEAST | {"compatibility_date": TODAY.isoformat()}).metadata.name == "shop"


def test_a_file_that_is_no_object_or_no_json():
    assert findings("[]") == [
        "wrangler.jsonc:1: found a list; expected an object with name, main and compatibility_date"
    ]
    assert findings('{\n"name": }') == ["wrangler.jsonc:2: this is not JSON with comments: expected a value"]


NEEDED: list[tuple[str, Any, str]] = [
    ("r2_buckets", [{"binding": "FILES", "bucket_name": "f"}], "needs an object store (R2) (env.FILES)"),
    ("d1_databases", [{"binding": "DB", "database_id": "x"}], "needs SQL databases (D1) (env.DB)"),
    ("durable_objects", {"bindings": [{"name": "LIST", "class_name": "L"}]}, "needs Durable Objects (env.LIST)"),
    ("migrations", [{"tag": "v1", "new_sqlite_classes": ["L"]}], "needs Durable Objects"),
    ("browser", {"binding": "WEB"}, "needs a browser to render with (env.WEB)"),
    ("site", {"bucket": "public"}, "is of the service-worker format"),
]


@pytest.mark.parametrize(("key", "value", "what"), NEEDED)
def test_what_littoral_does_not_have_is_refused_with_its_line_and_a_remedy(key: str, value: Any, what: str):
    (finding,) = findings(LEAST | {key: value})
    assert finding.startswith(f"wrangler.jsonc:5: {key}: it {what}, which Littoral does not have. Remove it here")


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_what_is_empty_is_not_needed(key: str):
    empty: list[Any] = [[], {}, {"bindings": []}, {"producers": [], "consumers": []}, None]
    for nothing in empty:
        assert app_of(LEAST | {key: nothing}) == app_of(LEAST)


def test_several_mistakes_are_said_at_once():
    assert (
        len(findings(LEAST | {"browser": {"binding": "WEB"}, "queues": {"producers": [{"binding": "Q"}]}, "main": 5}))
        == 3
    )


def test_unknown_keys_warn_and_name_what_is_near():
    said = warnings(
        LEAST | {"observability": {}, "kv_namespace": [], "kv_namespaces": [{"binding": "A", "id": "a", "ID": 1}]}
    )
    assert said == [
        'wrangler.jsonc:6: kv_namespace: this key is not known, and not heeded. Did you mean "kv_namespaces"?',
        'wrangler.jsonc:11: kv_namespaces[0].ID: this key is not known, and not heeded. Did you mean "id"?',
    ]


def test_what_has_no_effect_is_said():
    (said,) = warnings(LEAST | {"placement": {"mode": "smart"}})
    assert said.startswith("wrangler.jsonc:5: placement: it has no effect: where an app runs is for spec.placement")


def test_its_limit_of_cpu_time_is_the_apps():
    assert app_of(LEAST | {"limits": {"cpu_ms": 50}}).spec.limits.cpu_time_ms == 50
    (said,) = findings(LEAST | {"limits": {"cpu_ms": 0}})
    assert said.startswith("wrangler.jsonc:6: limits.cpu_ms: ")


STAGED = LEAST | {
    "vars": {"A": "top"},
    "kv_namespaces": [{"binding": "KV", "id": "top"}],
    "routes": ["top.example/*"],
    "env": {
        "staging": {"vars": {"A": "staged"}, "compatibility_date": "2026-01-01"},
        "live": {"name": "shop-for-all", "route": "live.example/*", "vars": {}, "kv_namespaces": []},
    },
}


def test_an_environment_inherits_what_wrangler_has_it_inherit():
    app = app_of(STAGED, "staging")
    assert app.metadata.name == "shop-staging"
    assert app.spec.main == "src/entry.py"
    assert app.spec.vars == {"A": "staged"}
    assert app.spec.kv == []
    assert [route.host for route in app.spec.routes] == ["top.example"]
    (warning,) = warnings(STAGED, "staging")
    assert warning == (
        'wrangler.jsonc:8: kv_namespaces: environment "staging" does not inherit it. '
        "Repeat it in env.staging if it is to have it"
    )


def test_an_environment_may_say_name_and_routes_of_its_own():
    app = app_of(STAGED, "live")
    assert app.metadata.name == "shop-for-all"
    assert [route.host for route in app.spec.routes] == ["live.example"]
    assert app.spec.vars == {}
    assert warnings(STAGED, "live") == []


def test_without_an_environment_the_top_counts():
    assert app_of(STAGED).spec.vars == {"A": "top"}
    bad = json.loads(json.dumps(STAGED))
    bad["env"]["staging"]["browser"] = {"binding": "WEB"}
    assert app_of(bad).metadata.name == "shop"
    (finding,) = findings(bad, "staging")
    line = json.dumps(bad, indent=1).splitlines().index('   "browser": {') + 1
    assert finding.startswith(f"wrangler.jsonc:{line}: env.staging.browser: it needs a browser")


def test_an_environment_that_is_not_there():
    (finding,) = findings(STAGED, "stagin")
    assert finding == (
        'wrangler.jsonc:17: env: there is no environment "stagin". Did you mean "staging"? There are: staging, live'
    )


def test_every_key_is_one_thing():
    groups = (UNDERSTOOD, UNSAID, REFUSED.keys(), WITHOUT_EFFECT.keys())
    assert sum(map(len, groups)) == len(KNOWN)
    assert INHERITED | OWN <= KNOWN
    assert not INHERITED & OWN
