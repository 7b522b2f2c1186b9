from prometheus_client.parser import text_string_to_metric_families

from littoral.telemetry.metrics import Family, Histogram, Metrics, Sample


def parsed(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    return {
        sample.name: {
            tuple(sorted(each.labels.items())): each.value for each in family.samples if each.name == sample.name
        }
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_sources_are_asked_at_each_scrape():
    metrics = Metrics()
    count = 0

    def source():
        yield Family("littoral_things", "counter", "Things.", [Sample(float(count), {"kind": "a"})])

    metrics.add(source)
    for count in (1, 7):
        assert parsed(metrics)["littoral_things_total"] == {(("kind", "a"),): count}


def test_a_family_without_samples_is_still_described():
    metrics = Metrics()
    metrics.add(lambda: [Family("littoral_none", "gauge", "Nothing yet.", [])])
    assert b"# HELP littoral_none Nothing yet." in metrics.text()


def test_labels_are_escaped_and_may_come_in_any_order():
    metrics = Metrics()
    samples = [Sample(1, {"a": 'x"\n\\', "b": "y"}), Sample(2, {"b": "z", "a": "w"})]
    metrics.add(lambda: [Family("littoral_odd", "gauge", "Odd.", samples)])
    assert parsed(metrics)["littoral_odd"] == {
        (("a", 'x"\n\\'), ("b", "y")): 1,
        (("a", "w"), ("b", "z")): 2,
    }


def test_the_buckets_of_a_histogram_are_cumulative():
    metrics = Metrics()
    metrics.add(lambda: [Histogram("littoral_s", "Time.", [0.1, 1.0], [3, 2, 1], 4.5, {"app": "shop"})])
    found = parsed(metrics)
    assert {dict(labels)["le"]: value for labels, value in found["littoral_s_bucket"].items()} == {
        "0.1": 3,
        "1.0": 5,
        "+Inf": 6,
    }
    assert found["littoral_s_sum"] == {(("app", "shop"),): 4.5}
    assert found["littoral_s_count"] == {(("app", "shop"),): 6}
