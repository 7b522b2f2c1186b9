from littoral.gateway.meters import BUCKETS_MS, Meters


def test_responses_are_counted_by_route_status_and_latency() -> None:
    meters = Meters()
    meters.observe("shop", 200, 0.0005, 100)
    meters.observe("shop", 200, 0.003, 20)
    meters.observe("shop", 504, 60.0, 0)
    meters.observe("", 404, 0.0, 7)
    shop = meters.routes["shop"]
    assert shop.statuses == {200: 2, 504: 1}
    assert shop.latency == [1, 0, 1] + [0] * (len(BUCKETS_MS) - 3) + [1]
    assert shop.latency_sum_ms == 60_003.5
    assert (shop.sent_bytes, meters.routes[""].sent_bytes) == (120, 7)
    assert meters.routes[""].statuses == {404: 1}
