"""Tests for littoral.projects.wrangler_events."""

import json
from datetime import date
from typing import Any

import pytest

from littoral.core.resources import App
from littoral.core.resources.app_events import (
    AppQueues,
    DatasetBinding,
    QueueConsumer,
    QueueProducer,
    ServiceBinding,
)
from littoral.projects.jsonc import read_jsonc
from littoral.projects.wrangler import Translation

LEAST = {"name": "shop", "main": "src/entry.py", "compatibility_date": "2025-11-02"}


def translation(keys: dict[str, Any], environment: str | None = None) -> tuple[App | None, list[str], list[str]]:
    text = json.dumps(LEAST | keys, indent=1)
    work = Translation("wrangler.jsonc", read_jsonc(text), date(2026, 11, 22))
    translated = work.translate(environment)
    app = None if translated is None else translated.app
    return app, [str(each) for each in work.findings], [str(each) for each in work.warnings]


def app_of(keys: dict[str, Any], environment: str | None = None) -> App:
    app, findings, _ = translation(keys, environment)
    assert app is not None, findings
    return app


def test_cron_triggers() -> None:
    triggers = {"triggers": {"crons": ["*/5 * * * *", "0 18 * * friL"]}}
    assert app_of(triggers).spec.crons == ["*/5 * * * *", "0 18 * * friL"]
    assert app_of({}).spec.crons == []
    environments = {"env": {"test": {"triggers": {"crons": ["0 0 * * *"]}}, "other": {}}}
    assert app_of(triggers | environments, "test").spec.crons == ["0 0 * * *"]
    assert app_of(triggers | environments, "other").spec.crons == ["*/5 * * * *", "0 18 * * friL"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"triggers": {"crons": ["61 * * * *"]}}, "triggers.crons[0]: found \"61 * * * *\"; found '61' as minute"),
        ({"triggers": {"crons": ["* * * * *", "* * * * *"]}}, 'triggers.crons[1]: found "* * * * *" twice'),
        ({"triggers": {"crons": "* * * * *"}}, 'triggers.crons: found "* * * * *"'),
        ({"queues": {"consumers": [{"queue": "a", "max_batch_size": 101}]}}, "queues.consumers[0].max_batch_size: "),
        (
            {"queues": {"consumers": [{"queue": "a", "max_batch_timeout": 61}]}},
            "queues.consumers[0].max_batch_timeout: ",
        ),
        ({"queues": {"consumers": [{"queue": "a", "type": "http_pull"}]}}, "queues.consumers[0].type: "),
        ({"queues": {"consumers": [{"queue": "a"}, {"queue": "a"}]}}, "queues.consumers[1]: "),
        (
            {"queues": {"consumers": [{"queue": "a", "dead_letter_queue": "A"}]}},
            "queues.consumers[0].dead_letter_queue: ",
        ),
        ({"queues": {"producers": [{"binding": "a-b", "queue": "a"}]}}, "queues.producers[0].binding: "),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(keys: dict[str, Any], said: str) -> None:
    app, findings, _ = translation(keys)
    assert app is None
    assert any(said in finding for finding in findings), findings


def test_queues() -> None:
    queues = {
        "queues": {
            "producers": [{"binding": "ORDERS", "queue": "my_Orders", "delivery_delay": 60, "remote": True}],
            "consumers": [
                {
                    "queue": "my_Orders",
                    "max_batch_size": 100,
                    "max_batch_timeout": 30,
                    "max_retries": 10,
                    "dead_letter_queue": "my-dlq",
                    "max_concurrency": 2,
                    "retry_delay": 5,
                },
                {"queue": "other", "newer": 1},
            ],
        }
    }
    spec = app_of(queues).spec.queues
    assert spec.producers == [QueueProducer(binding="ORDERS", queue="my-orders", delivery_delay="60s", remote=True)]
    assert spec.consumers == [
        QueueConsumer(
            queue="my-orders",
            max_batch_size=100,
            max_batch_timeout="30s",
            max_retries=10,
            dead_letter_queue="my-dlq",
            max_concurrency=2,
            retry_delay="5s",
        ),
        QueueConsumer(queue="other"),
    ]
    assert app_of(queues | {"env": {"test": {}}}, "test").spec.queues == AppQueues()


def test_services_and_datasets() -> None:
    keys = {
        "services": [
            {"binding": "AUTH", "service": "auth", "entrypoint": "Admin", "props": {"role": "x"}},
            {"binding": "OTHER", "service": "other", "environment": "staging"},
        ],
        "analytics_engine_datasets": [{"binding": "VISITS", "dataset": "My_Visits"}, {"binding": "CLICKS"}],
    }
    spec = app_of(keys).spec
    assert spec.services == [
        ServiceBinding(binding="AUTH", service="auth", entrypoint="Admin", props={"role": "x"}),
        ServiceBinding(binding="OTHER", service="other-staging"),
    ]
    assert spec.datasets == [
        DatasetBinding(binding="VISITS", dataset="my-visits"),
        DatasetBinding(binding="CLICKS", dataset="clicks"),
    ]


def test_each_name_in_env_is_one_thing() -> None:
    keys = {
        "vars": {"A": "1"},
        "services": [{"binding": "A", "service": "x"}, {"binding": "B", "service": "x"}],
        "queues": {"producers": [{"binding": "B", "queue": "q"}]},
    }
    _, findings, _ = translation(keys)
    assert [finding.partition(": ")[2] for finding in findings] == [
        'services[0].binding: "A" is something else already; each name in env is one thing',
        'services[1].binding: "B" is something else already; each name in env is one thing',
    ]
