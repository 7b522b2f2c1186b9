"""Makes src/models/machine.onnx: python train.py. It needs the packages onnx and numpy, which the function does not.

The readings are those of the factory example (the Numenta Anomaly Benchmark), and so is what is known of them: the times in which the
machine failed or was about to, of NAB's labels/combined_windows.json. Learned from what came before February; what came then says
how good that is. An hour is two numbers, its mean and how far its readings lie apart, and the model is a logistic regression over
these and their squares.
"""

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
DATA = HERE.parent / "factory" / "data" / "machine_temperature_system_failure.csv"
MODEL = HERE / "src" / "models" / "machine.onnx"
FAILURES = (
    ("2013-12-15 09:55:00", "2013-12-18 00:55:00"),
    ("2014-01-27 06:25:00", "2014-01-29 21:25:00"),
    ("2014-02-07 07:00:00", "2014-02-09 22:00:00"),
)
LEARN_UNTIL = datetime(2014, 2, 1)  # noqa: DTZ001 -- the times of the file have no zone either
HOUR = 12
"""Readings."""
STEPS, RATE, DECAY = 4000, 0.5, 1e-4


def load():
    """Hours of readings, whether each ends within a failure, and when it ends."""
    with DATA.open() as file:
        rows = [(datetime.fromisoformat(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = [time for time, _ in rows][HOUR - 1 :]
    hours = np.lib.stride_tricks.sliding_window_view(np.array([value for _, value in rows], np.float32), HOUR)
    failures = [tuple(map(datetime.fromisoformat, failure)) for failure in FAILURES]
    failing = np.array([any(begin <= time <= end for begin, end in failures) for time in times])
    return hours, failing, np.array([time < LEARN_UNTIL for time in times])


def features(hours):
    """As the graph has them."""
    both = np.stack([hours.mean(1), hours.max(1) - hours.min(1)], 1)
    return np.concatenate([both, both * both], 1)


def fit(given, failing):
    """Weights and bias for features as they are. Failures are rare: each class weighs as much as the other."""
    mean, spread = given.mean(0), given.std(0)
    scaled = (given - mean) / spread
    share = np.where(failing, 0.5 / failing.mean(), 0.5 / (1 - failing.mean()))
    weights, bias = np.zeros(given.shape[1]), 0.0
    for _ in range(STEPS):
        wrong = share * (1 / (1 + np.exp(-(scaled @ weights + bias))) - failing)
        weights -= RATE * (scaled.T @ wrong / len(wrong) + DECAY * weights)
        bias -= RATE * wrong.mean()
    weights /= spread
    return weights, bias - mean @ weights


def graph(weights, bias):
    """The model: from readings to a label and a probability."""
    constants = {
        "weights": weights.astype(np.float32).reshape(-1, 1),
        "bias": np.array([bias], np.float32),
        "flat": np.array([-1], np.int64),
        "half": np.array([0.5], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["readings"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["readings"], ["most"], axes=[1], keepdims=1),
        helper.make_node("ReduceMin", ["readings"], ["least"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["most", "least"], ["apart"]),
        helper.make_node("Concat", ["mean", "apart"], ["both"], axis=1),
        helper.make_node("Mul", ["both", "both"], ["squares"]),
        helper.make_node("Concat", ["both", "squares"], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["each"]),
        helper.make_node("Reshape", ["each", "flat"], ["probability"]),
        helper.make_node("Greater", ["probability", "half"], ["above"]),
        helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT64),
    ]
    made = helper.make_graph(
        nodes,
        "machine",
        [helper.make_tensor_value_info("readings", TensorProto.FLOAT, ["hours", HOUR])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["hours"]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["hours"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    hours, failing, learned = load()
    given = features(hours.astype(np.float64))
    weights, bias = fit(given[learned], failing[learned])
    for name, part in (("learned from", learned), ("not seen before", ~learned)):
        said = given[part] @ weights + bias > 0
        found, alarms = said[failing[part]].mean(), said[~failing[part]].mean()
        print(f"{name}: of hours within failures {found:.0%} are found, of others {alarms:.0%} are taken for some")
    MODEL.parent.mkdir(exist_ok=True)
    MODEL.write_bytes(graph(weights, bias).SerializeToString())
    print(f"{MODEL.relative_to(HERE)}: {MODEL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
