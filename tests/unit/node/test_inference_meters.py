from littoral.node.inference_meters import InferenceMeter, InferenceReport, inference_metrics


def test_what_was_counted_of_models_is_shown_by_app():
    metrics = inference_metrics()
    assert list(metrics.families()) == []
    metrics.take(InferenceReport(7, {"shop": InferenceMeter(5, 2, 1.5)}, 3, 4000, 6, {"inference-queue": 8}))
    shown = {family.name: (family.samples[0].labels, family.samples[0].value) for family in metrics.families()}
    assert shown == {
        "littoral_inference_runs": ({"app": "shop"}, 5),
        "littoral_inference_errors": ({"app": "shop"}, 2),
        "littoral_inference_seconds": ({"app": "shop"}, 1.5),
        "littoral_inference_models": ({}, 3),
        "littoral_inference_model_bytes": ({}, 4000),
        "littoral_inference_waiting": ({}, 6),
        "littoral_inference_limit_reached": ({"limit": "inference-queue"}, 8),
    }
