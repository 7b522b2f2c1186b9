from littoral.node.egress_meters import EgressMeter, EgressReport, egress_metrics


def test_what_the_egress_counted_is_shown_by_app():
    metrics = egress_metrics()
    assert list(metrics.families()) == []
    metrics.take(EgressReport(7, {"shop": EgressMeter(5, 2, 1, 30, 40)}, 3, 4, {"subrequests": 2}))
    shown = {family.name: (family.samples[0].labels, family.samples[0].value) for family in metrics.families()}
    assert shown == {
        "littoral_egress_requests": ({"app": "shop"}, 5),
        "littoral_egress_refused": ({"app": "shop"}, 2),
        "littoral_egress_failed": ({"app": "shop"}, 1),
        "littoral_egress_sent_bytes": ({"app": "shop"}, 30),
        "littoral_egress_received_bytes": ({"app": "shop"}, 40),
        "littoral_egress_under_way": ({}, 3),
        "littoral_egress_connections": ({}, 4),
        "littoral_egress_limit_reached": ({"limit": "subrequests"}, 2),
    }
