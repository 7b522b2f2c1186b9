import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "write-metrics-page.py"


def test_the_page_says_what_nodes_measure():
    script = runpy.run_path(str(SCRIPT))
    assert script["PAGE"].read_text(encoding="utf-8") == script["page"](), "run make docs"
    assert "littoral_uplink_oldest_record_age_seconds" in script["page"]()
