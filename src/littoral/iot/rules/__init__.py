"""Rules: from readings to windows and alerts. Pure: whoever drives a rule reads, commits and publishes."""

from littoral.iot.rules.output import Alert, Output, WindowResult
from littoral.iot.rules.rule import CompiledRule, Counters
from littoral.iot.rules.template import render_template

__all__ = ["Alert", "CompiledRule", "Counters", "Output", "WindowResult", "render_template"]
