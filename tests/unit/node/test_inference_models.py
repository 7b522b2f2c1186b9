"""Which models stay loaded, and which files are models."""

import pytest

from littoral.core.errors import LimitReached, NotFound
from littoral.core.limits import Limits
from littoral.drivers.onnx_model import OnnxModel
from littoral.node.inference_models import LoadedModels, read_model
from tests.support.inference import twice


def test_the_one_that_was_run_least_recently_goes_first():
    model = OnnxModel("m", twice())
    limits = Limits({"inference-models-bytes": 2 * model.bytes})
    loaded = LoadedModels()
    keys = [("shop", "1", name) for name in "abc"]
    for key in keys[:2]:
        loaded.put(key, model, limits)
    assert loaded.get(keys[0]) is model
    loaded.put(keys[2], model, limits)
    assert [loaded.get(key) is not None for key in keys] == [True, False, True]
    assert loaded.bytes == 2 * model.bytes
    loaded.keep({("shop", "2")})
    assert len(loaded) == 0


@pytest.mark.parametrize("name", ["../secret", "link", "folder", "", "a/b", ".hidden", "no"])
def test_what_is_no_file_of_the_models_folder_is_no_model(tmp_path, name):
    models = tmp_path / "models"
    (models / "folder.onnx").mkdir(parents=True)
    (tmp_path / "secret.onnx").write_bytes(b"x")
    (models / ".hidden.onnx").write_bytes(b"x")
    (models / "link.onnx").symlink_to(tmp_path / "secret.onnx")
    with pytest.raises(NotFound):
        read_model(str(models), name, Limits())


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    (tmp_path / "large.onnx").write_bytes(b"x" * 11)
    with pytest.raises(LimitReached, match="has 11 bytes; at most 10"):
        read_model(str(tmp_path), "large", Limits({"inference-model-bytes": 10}))
    assert read_model(str(tmp_path), "large", Limits({"inference-model-bytes": 11})) == b"x" * 11
