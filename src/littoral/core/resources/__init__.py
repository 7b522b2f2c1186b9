"""`littoral/v1` documents: their types, decoding with errors that name the field, and the JSON Schema."""

from littoral.core.resources.checks import topic_matches
from littoral.core.resources.decode import decode_resources, inspect_resources
from littoral.core.resources.model import (
    API_VERSION,
    App,
    Namespace,
    Node,
    Resource,
    Rule,
    RuleSpec,
)
from littoral.core.resources.part import Placement, Tier
from littoral.core.resources.placement import placement_matches
from littoral.core.resources.problem import Problem
from littoral.core.resources.schema import json_schema
from littoral.core.resources.units import parse_bytes, parse_duration_ms
from littoral.core.resources.web import Origin, Route

__all__ = [
    "API_VERSION",
    "App",
    "Namespace",
    "Node",
    "Origin",
    "Placement",
    "Problem",
    "Resource",
    "Route",
    "Rule",
    "RuleSpec",
    "Tier",
    "decode_resources",
    "inspect_resources",
    "json_schema",
    "parse_bytes",
    "parse_duration_ms",
    "placement_matches",
    "topic_matches",
]
