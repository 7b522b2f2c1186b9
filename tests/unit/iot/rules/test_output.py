import json

from littoral.iot.rules.output import Alert, WindowResult, output_id


def test_a_window_is_one_flat_object():
    window = WindowResult("i", "hot", "plant-a", "k", 0, 60_000, {"count": 2, "mean": 1.5})
    assert json.loads(window.document()) == {
        "id": "i", "rule": "hot", "node": "plant-a", "key": "k", "start": 0, "end": 60_000, "count": 2, "mean": 1.5,
    }  # fmt: skip


def test_an_alert_says_null_for_a_z_that_there_is_none_of():
    alert = Alert("i", "hot", "plant-a", "k", 5, 2.0, None, 1.0, 0.0, None)
    assert json.loads(alert.document()) == {
        "id": "i", "rule": "hot", "node": "plant-a", "key": "k", "ts": 5, "value": 2.0,
        "zscore": None, "mean": 1.0, "stddev": 0.0, "sequence": None,
    }  # fmt: skip


def test_ids_do_not_run_into_each_other():
    assert output_id("a", "bc") != output_id("ab", "c")
    assert output_id("a", "1") != output_id("a", 1)
    assert output_id("a") == output_id("a")
    assert len(output_id("a")) == 32
