from littoral.wire.client_facts import IP_COUNTRY, PLACE, located, place_fields, told_place

SAID = [("accept", "*/*"), (IP_COUNTRY, "XX"), (PLACE, "forged"), (IP_COUNTRY, "YY")]


def test_what_a_client_says_of_its_place_gives_way_to_what_the_gateway_knows():
    fields = located(SAID, place_fields({"country": "ch", "city": "Zürich"}))
    assert fields == [("accept", "*/*"), (IP_COUNTRY, "CH"), (PLACE, '{"country":"ch","city":"Z\\u00fcrich"}')]
    assert told_place(fields) == fields[2:]


def test_where_nothing_is_known_nothing_is_said():
    assert located(SAID, place_fields({})) == [("accept", "*/*")]
    assert place_fields({"country": "A\r\nb"})[0][0] == PLACE
