"""What the process that runs models is told of apps, and who may have it started."""

import asyncio
import importlib.util

import msgspec
import pytest

from littoral.core.errors import Forbidden, Unavailable
from littoral.core.limits import Limits
from littoral.functions.apps import PlacedApp
from littoral.functions.hub.bindings import Credentials
from littoral.functions.hub.config_file import ConfigFile
from littoral.functions.hub.inference_desk import DIRECTORY, FILE, InferenceConfig, InferenceDesk, check_inference
from littoral.functions.messages import BindingCall, WorkerInference

SHOP = PlacedApp("shop", "1", "/apps/shop-1", "src/main.py", ai="AI")
OTHER = PlacedApp("other", "1", "/apps/other-1", "main.py")


def desk(run):
    return InferenceDesk(run, Credentials(b"k" * 32), Limits({"app-folders": 2}))


def told(run):
    config = ConfigFile(run / DIRECTORY / FILE, InferenceConfig).changed()
    assert config is not None
    return config


def test_it_is_told_of_apps_that_run_models_and_of_the_revisions_before(tmp_path):
    it = desk(tmp_path)
    it.apply([SHOP, OTHER])
    assert [(app.name, app.models) for app in told(tmp_path).apps] == [("shop", {"1": "/apps/shop-1/src/models"})]
    assert told(tmp_path).code == ["/apps"]
    for revision in ("2", "3+secrets"):
        it.apply([msgspec.structs.replace(SHOP, revision=revision, directory=f"/apps/shop-{revision[0]}")])
    assert list(told(tmp_path).apps[0].models) == ["2", "3"]
    it.apply([OTHER])
    assert told(tmp_path).apps == []


def test_a_node_without_such_apps_has_no_such_file(tmp_path):
    desk(tmp_path).apply([OTHER])
    assert not (tmp_path / DIRECTORY).exists()


def test_a_worker_proves_itself_there_and_only_one_of_an_app_with_the_binding_can(tmp_path):
    it = desk(tmp_path)
    it.apply([SHOP, OTHER])
    credential = it.worker(SHOP, 3).credential
    assert Credentials(told(tmp_path).key).app(credential) == "shop"
    assert Credentials(b"k" * 32).app(credential) is None
    assert it.worker(OTHER, 0) == WorkerInference()


def test_only_an_app_with_the_binding_has_it_started(tmp_path):
    it, started = desk(tmp_path), []
    it.start = lambda: started.append(1)
    it.apply([SHOP, OTHER])
    asyncio.run(it("shop", BindingCall(1, "start", "m", [], "ai")))
    with pytest.raises(Forbidden, match=r"Add spec\.ai"):
        asyncio.run(it("other", BindingCall(1, "start", "m", [], "ai")))
    assert started == [1]


def test_a_node_without_the_packages_says_which_extra_has_them(monkeypatch):
    check_inference("shop")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"cannot place app shop: .*no onnxruntime.*Install littoral\[ai\]"):
        check_inference("shop")
