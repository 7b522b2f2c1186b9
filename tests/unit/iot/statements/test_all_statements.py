"""Every normative statement of both versions has a test here, or a reason why not."""

import importlib
from pathlib import Path

import pytest

from littoral.wire.mqtt import MQTT_3_1_1, MQTT_5
from tests.support.mqtt_statements import STATEMENTS, TESTED, UNTESTED


@pytest.fixture(scope="module", autouse=True)
def _every_module():
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        importlib.import_module(f"tests.unit.iot.statements.{path.stem}")


@pytest.mark.parametrize(("level", "count"), [(MQTT_3_1_1, 141), (MQTT_5, 251)])
def test_the_numbers_are_those_of_appendix_b(level, count):
    assert len(STATEMENTS[level]) == len(set(STATEMENTS[level])) == count


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
def test_each_statement_is_tested_or_has_a_reason_why_not(level):
    tested, untested = set(TESTED[level]), set(UNTESTED[level])
    assert set(STATEMENTS[level]) - tested - untested == set(), "nobody looks at these"
    assert tested | untested <= set(STATEMENTS[level]), "there are no such numbers"
    assert tested & untested == set(), "these are tested after all"
