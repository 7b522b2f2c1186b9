"""`littoral/v1` documents: their types. `decode` reads them, with errors that name the field; `schema` is their JSON Schema.

Neither is imported here: every process of a node knows the types, and none of them reads YAML.
"""

from littoral.core.resources.app import App
from littoral.core.resources.global_topics import GlobalTopics
from littoral.core.resources.model import API_VERSION, Node, Resource
from littoral.core.resources.namespace import Namespace
from littoral.core.resources.part import Placement, Tier
from littoral.core.resources.placement import placement_matches
from littoral.core.resources.problem import Problem
from littoral.core.resources.rule import Rule, RuleSpec
from littoral.core.resources.topic_filters import topic_matches
from littoral.core.resources.units import parse_bytes, parse_duration_ms
from littoral.core.resources.web import Origin, Route

__all__ = [
    "API_VERSION",
    "App",
    "GlobalTopics",
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
    "parse_bytes",
    "parse_duration_ms",
    "placement_matches",
    "topic_matches",
]
