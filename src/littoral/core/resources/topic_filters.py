"""Topic filters of MQTT, and what they mean (section 4.7 of both versions)."""


def is_topic_filter(topic_filter: str) -> bool:
    """Whether it is well-formed."""
    levels = topic_filter.split("/")
    if any(len(level) > 1 and ("+" in level or "#" in level) for level in levels):
        return False
    return bool(topic_filter) and "#" not in levels[:-1] and "\0" not in topic_filter


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is one of those that a filter means."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(w in ("+", level) for w, level in zip(wanted, levels, strict=True))


def filter_covers(wide: str, narrow: str) -> bool:
    """Whether every topic that `narrow` means is one that `wide` means, too."""
    ours, theirs = wide.split("/"), narrow.split("/")
    if _differ_in_dollar(ours[0], theirs[0]):
        return False
    for index, level in enumerate(ours):
        if level == "#":
            return True
        if index >= len(theirs):
            return False
        if theirs[index] == "#" or (level != "+" and level != theirs[index]):
            return False
    return len(ours) == len(theirs)


def filters_meet(one: str, other: str) -> bool:
    """Whether there is a topic that both mean."""
    ours, theirs = one.split("/"), other.split("/")
    if _differ_in_dollar(ours[0], theirs[0]) or _differ_in_dollar(theirs[0], ours[0]):
        return False
    for index in range(max(len(ours), len(theirs))):
        mine = ours[index] if index < len(ours) else None
        yours = theirs[index] if index < len(theirs) else None
        if "#" in (mine, yours):
            return True
        if mine is None or yours is None or ("+" not in (mine, yours) and mine != yours):
            return False
    return True


def _differ_in_dollar(wildcard: str, level: str) -> bool:
    """A wildcard at the front means no topic that begins with "$"."""
    return wildcard in ("+", "#") and level.startswith("$")
