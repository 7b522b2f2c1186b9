import asyncio
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from littoral import workers
from littoral.core.resources import App, Namespace
from littoral.core.resources.decode import decode_resources

FACTORY = Path(__file__).parents[3] / "examples" / "factory"
PLACE = "lines/factory/plant-a/machine/temperature"
WINDOW = {
    "id": "i", "rule": "machine", "node": "plant-a", "key": "factory/plant-a/machine/temperature",
    "start": 1386018000000, "end": 1386021600000,
    "count": 9, "min": 73.9, "max": 78.4, "mean": 76.375, "stddev": 1.3, "first": 73.9, "last": 78.3,
}  # fmt: skip
ALERT = {"id": "i", "ts": 1386018900000, "value": 2.08, "zscore": None, "mean": 62.91, "stddev": 0.0}


@pytest.fixture
def get(monkeypatch):
    """Request a path of the app, over the key-value pairs given."""
    monkeypatch.setitem(sys.modules, "workers", workers)
    spec = importlib.util.spec_from_file_location("factory_app", FACTORY / "app" / "main.py")
    assert spec is not None
    assert spec.loader is not None
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)

    def request(path, **pairs):
        stored = {f"{PLACE}/{name}": json.dumps(value).encode() for name, value in pairs.items()}

        async def call(operation, namespace, arguments):
            assert namespace == "factory"
            if operation == "get":
                found = stored.get(arguments[0])
                return None if found is None else [found, None, None]
            return sorted(key for key in stored if key.startswith(arguments[0])), None, {}

        env = workers.Env({"KV": workers.KVNamespace("factory", call)})
        app = main.Default(workers.Context(lambda work: None), env)
        return asyncio.run(app.fetch(workers.Request(f"http://site.example{path}")))

    return request


def test_the_documents_are_valid_and_name_what_the_app_uses():
    (app,) = decode_resources((FACTORY / "app.yaml").read_text(), "app.yaml")
    (namespace,) = decode_resources((FACTORY / "namespace.yaml").read_text(), "namespace.yaml")
    assert isinstance(app, App)
    assert isinstance(namespace, Namespace)
    assert (FACTORY / app.spec.source / app.spec.main).is_file()
    assert [kv.namespace for kv in app.spec.kv] == [namespace.metadata.name]


def test_the_lines_are_listed(get):
    assert json.loads(get("/api/lines", window=WINDOW).whole) == [{"site": "plant-a", "line": "machine"}]
    assert b'href="/lines/plant-a/machine"' in get("/lines", window=WINDOW).whole
    assert b"No line has finished" in get("/lines/").whole


def test_a_line_as_json_is_its_latest_window_and_alert(get):
    response = get("/api/lines/plant-a/machine?x=1", window=WINDOW)
    assert response.headers["content-type"] == "application/json"
    assert json.loads(response.whole) == {"site": "plant-a", "line": "machine", "window": WINDOW, "alert": None}


def test_a_line_as_a_page_shows_its_aggregates_and_its_latest_anomaly(get):
    body = get("/lines/plant-a/machine", window=WINDOW, alert=ALERT).whole.decode()
    assert "<th>mean<td>76.38" in body or "<th>mean<td>76.37" in body
    assert "2013-12-02 21:00 to 2013-12-02 22:00" in body
    assert "Latest anomaly: 2.08 at 2013-12-02 21:15" in body
    assert "No anomaly so far" in get("/lines/plant-a/machine", window=WINDOW).whole.decode()


def test_aggregates_a_rule_does_not_compute_are_left_out(get):
    window = {name: WINDOW[name] for name in ("start", "end", "count")}
    body = get("/lines/plant-a/machine", window=window).whole.decode()
    assert "<th>count<td>9" in body
    assert "<th>mean" not in body


@pytest.mark.parametrize(
    "path", ["/lines/plant-a/nothing", "/lines/plant-a/<script>", "/lines/../x", "/api/lines/a", "/x"]
)
def test_what_is_not_there_is_404_and_is_not_echoed(get, path):
    response = get(path, window=WINDOW)
    assert response.status == 404
    assert b"script" not in response.whole


def test_pages_run_no_scripts_and_what_comes_from_outside_is_escaped(get):
    response = get("/lines/plant-a/machine", window=WINDOW | {"mean": 1, "start": 0})
    assert "default-src 'none'" in (response.headers["content-security-policy"] or "")
