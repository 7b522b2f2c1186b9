import re
import runpy
from pathlib import Path

from littoral.testing.loop import run
from littoral.testing.tree import SimTree

SCRIPT = Path(__file__).parents[3] / "scripts" / "write-metrics-page.py"


def test_the_page_says_what_nodes_measure():
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text(encoding="utf-8") == script["page"](), "run make docs"
    assert "littoral_uplink_oldest_record_age_seconds" in script["page"]()


def test_whatever_a_node_measures_is_on_the_page():
    page = runpy.run_path(str(SCRIPT))["page"]()

    async def main() -> None:
        tree = SimTree(1)
        root = await tree.start_root("cloud")
        site = await tree.start_child("plant-a", "site", root)
        for node in (root, site):
            names = re.findall(r"^# TYPE (\w+)", node.running.metrics.text().decode(), re.MULTILINE)
            assert [name for name in names if f"| `{name}` |" not in page] == []
        await tree.stop()

    run(main)
