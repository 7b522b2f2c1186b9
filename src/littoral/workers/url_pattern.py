"""URLPattern (WHATWG URL Pattern Standard): what routers of Workers match URLs with.

A pattern is compiled to one regular expression for each component of a URL. Within a component:

    :name       up to the next separator ("/" in a path, "." in a host name)
    *           anything
    (expr)      what a regular expression matches, also after a name: :id(\\d+)
    {...}       grouping
    ? * +       after any of these: optional, any number, at least one
    \\           before a character that stands for itself

Left out: canonical forms of patterns (only hosts are lower-cased and non-ASCII text is percent-encoded), and the parts
of the syntax `v` of JavaScript's regular expressions that Python's have not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from littoral.workers.url import URL

COMPONENTS = ("protocol", "username", "password", "hostname", "port", "pathname", "search", "hash")
_SEGMENT = {"pathname": r"[^/]+?", "hostname": r"[^.]+?"}
_PREFIX = {"pathname": "/"}
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}

Kind = Literal["char", "name", "regexp", "open", "close", "modifier", "asterisk"]


@dataclass(frozen=True)
class _Token:
    kind: Kind
    text: str
    start: int


@dataclass(frozen=True)
class ComponentResult:
    """How one component matched."""

    input: str
    groups: dict[str, str | None]
    """What the groups matched, by name or else by number from "0"; None for those that took no part."""


class URLPatternResult:
    """How a URL matched: `result.pathname.groups["id"]`."""

    def __init__(self, inputs: list[object], components: dict[str, ComponentResult]) -> None:
        self.inputs = inputs
        self.protocol = components["protocol"]
        self.username = components["username"]
        self.password = components["password"]
        self.hostname = components["hostname"]
        self.port = components["port"]
        self.pathname = components["pathname"]
        self.search = components["search"]
        self.hash = components["hash"]


class URLPattern:
    """A pattern of URLs. `test` says whether one matches, `exec` how."""

    def __init__(
        self,
        input: str | Mapping[str, str] | None = None,  # noqa: A002 - the standard's name
        base_url: Any = None,
        options: Any = None,
    ) -> None:
        """input: a pattern like "/books/:id" with `base_url`, "https://*.example.com/*", or a mapping of components; what
        it leaves out matches anything. options: {"ignoreCase": True}, also in the place of `base_url`.

        Raises TypeError for what is no pattern.
        """
        if isinstance(base_url, Mapping):
            base_url, options = None, base_url
        given = _parts(input) if isinstance(input, str) else dict(input or {})
        base = given.pop("baseURL", None) or base_url
        unknown = given.keys() - set(COMPONENTS)
        if unknown:
            raise TypeError(f"a URL pattern has no component {min(unknown)!r}; they are: {', '.join(COMPONENTS)}")
        if base is not None:
            given = _inherited(given, URL(str(base)))
        elif isinstance(input, str) and "protocol" not in given:
            raise TypeError(f"the pattern {input!r} begins with no protocol, and there is no base URL")
        if "port" in given and given["port"] == _DEFAULT_PORTS.get(given.get("protocol", "")):
            given["port"] = ""
        flags = re.IGNORECASE if (options or {}).get("ignoreCase") else 0
        self._sources = {name: given.get(name, "*") for name in COMPONENTS}
        self._compiled = {name: _compile(name, source, flags) for name, source in self._sources.items()}

    @classmethod
    def new(cls, *arguments: Any) -> "URLPattern":
        """As JavaScript's constructor."""
        return cls(*arguments)

    def __getattr__(self, name: str) -> str:
        if name not in COMPONENTS:
            raise AttributeError(f"URLPattern has no {name!r}")
        return self._sources[name]

    def test(self, input: Any = None, base_url: object = None) -> bool:  # noqa: A002 - the standard's name
        """Whether a URL matches; it may be given as text, as a URL, or as a mapping of components."""
        return self.exec(input, base_url) is not None

    def exec(self, input: Any = None, base_url: object = None) -> URLPatternResult | None:  # noqa: A002 - the standard's name
        """How a URL matches, or None."""
        try:
            values = _values(input, base_url)
        except TypeError:
            return None
        found = {}
        for name, (pattern, groups) in self._compiled.items():
            match = pattern.fullmatch(values[name])
            if match is None:
                return None
            found[name] = ComponentResult(values[name], dict(zip(groups, match.groups(), strict=True)))
        return URLPatternResult([input] if base_url is None else [input, base_url], found)

    def __repr__(self) -> str:
        return f"URLPattern({self._sources!r})"


def _values(url: Any, base: object) -> dict[str, str]:
    """The components of a URL as patterns see them. Raises TypeError for what is no URL."""
    if isinstance(url, Mapping):
        return {name: str(url.get(name, "")) for name in COMPONENTS}
    parsed = url if isinstance(url, URL) else URL(url, base)
    values = {name: str(getattr(parsed, name)) for name in COMPONENTS}
    values["protocol"] = values["protocol"].removesuffix(":")
    values["search"] = values["search"].removeprefix("?")
    values["hash"] = values["hash"].removeprefix("#")
    return values


def _inherited(given: dict[str, str], base: URL) -> dict[str, str]:
    """What comes before the first given component is the base's; a relative path is relative to the base's."""
    values = _values(base, None)
    first = next(
        (name for name in ("protocol", "hostname", "port", "pathname", "search", "hash") if name in given), None
    )
    result = dict(given)
    for name in ("protocol", "hostname", "port", "pathname", "search"):
        if name == first:
            break
        result[name] = re.sub(r"([.+*?^${}()\[\]|/\\:])", r"\\\1", values[name]) if name != "pathname" else values[name]
    path = given.get("pathname", "/")
    if first == "pathname" and path[:1] not in ("/", "*", "{", "(", ":"):
        result["pathname"] = values["pathname"].rpartition("/")[0] + "/" + path
    return result


def _tokens(source: str) -> list[_Token]:
    """Raises TypeError for a pattern that is not complete."""
    tokens, at = [], 0
    single: dict[str, Kind] = {"{": "open", "}": "close", "*": "asterisk", "?": "modifier", "+": "modifier"}
    while at < len(source):
        start, char = at, source[at]
        at += 1
        if char == "\\":
            if at == len(source):
                raise TypeError(f"the pattern {source!r} ends with a backslash")
            tokens.append(_Token("char", source[at], start))
            at += 1
        elif char == ":" and (name := re.match(r"[^\W\d]\w*|\$\w*", source[at:])):
            tokens.append(_Token("name", name.group(), start))
            at += name.end()
        elif char == "(":
            at = _end_of_group(source, at)
            tokens.append(_Token("regexp", source[start + 1 : at - 1], start))
        else:
            tokens.append(_Token(single.get(char, "char"), char, start))
    return tokens


def _end_of_group(source: str, at: int) -> int:
    """Where the regular expression ends that begins there. Groups within it must not capture."""
    depth = 1
    while at < len(source):
        char = source[at]
        if char == "\\":
            at += 1
        elif char == "(":
            depth += 1
            if source[at + 1 : at + 2] != "?":
                raise TypeError(f"the pattern {source!r} has a capturing group within a group; write (?:...)")
        elif char == ")":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise TypeError(f"the pattern {source!r} has a group that does not end")


def _parts(source: str) -> dict[str, str]:
    """The components of a pattern that was given as one text."""
    tokens = _tokens(source)
    depth, starts = 0, []
    for index, token in enumerate(tokens):
        depth += (token.kind == "open") - (token.kind == "close")
        after_group = index > 0 and tokens[index - 1].kind in ("name", "regexp", "close", "asterisk")
        if depth == 0 and (token.kind == "char" or (token.text == "?" and not after_group)):
            starts.append(token)
    marks = {text: [token.start for token in starts if token.text == text] for text in ":/?#@"}
    end = len(source)
    hash_at = min(marks["#"], default=end)
    search_at = min((at for at in marks["?"] if at < hash_at), default=hash_at)
    parts: dict[str, str] = {}
    if hash_at < end:
        parts["hash"] = source[hash_at + 1 :]
    if search_at < hash_at:
        # Escaped, a question mark begins the search even after a group.
        parts["search"] = source[search_at:hash_at].removeprefix("\\")[1:]
    scheme = next((at for at in marks[":"] if source.startswith("://", at) and at < search_at), None)
    path_at = 0
    if scheme is not None:
        path_at = min((at for at in marks["/"] if scheme + 3 <= at < search_at), default=search_at)
        parts["protocol"] = source[:scheme]
        parts.update(_authority(source, scheme + 3, path_at, marks))
    if path_at < search_at:
        parts["pathname"] = source[path_at:search_at]
    elif "search" in parts or "hash" in parts:
        parts["pathname"] = "/" if scheme is not None else ""
    return {name: text for name, text in parts.items() if scheme is not None or name != "pathname" or text}


def _authority(source: str, start: int, end: int, marks: Mapping[str, list[int]]) -> dict[str, str]:
    at = max((mark for mark in marks["@"] if start <= mark < end), default=None)
    parts = {}
    if at is not None:
        colon = next((mark for mark in marks[":"] if start <= mark < at), at)
        parts = {"username": source[start:colon], "password": source[colon + 1 : at]}
        start = at + 1
    colon = next((mark for mark in marks[":"] if start <= mark < end), end)
    return {**parts, "hostname": source[start:colon], "port": source[colon + 1 : end]}


def _compile(component: str, source: str, flags: int) -> tuple[re.Pattern[str], list[str]]:
    """One component as a regular expression, and the names of its groups. Raises TypeError."""
    compiler = _Compiler(component, source)
    try:
        return re.compile(compiler.expression(), flags | re.DOTALL), compiler.groups
    except re.error as error:
        raise TypeError(f"the {component} {source!r} of a URL pattern is no pattern: {error}") from None


class _Compiler:
    """Reads the tokens of one component."""

    def __init__(self, component: str, source: str) -> None:
        self.groups: list[str] = []
        self._source = source
        self._tokens = _tokens(source)
        self._at = 0
        self._segment = _SEGMENT.get(component, ".+?")
        self._prefix = _PREFIX.get(component, "")
        self._fold = component == "hostname"

    def expression(self) -> str:
        """All of it."""
        expression, literal = "", ""
        while (token := self._take()) is not None:
            if token.kind == "char" or (token.kind == "modifier" and not expression and not literal):
                literal += token.text
            elif token.kind == "open":
                expression += self._fixed(literal) + self._braces()
                literal = ""
            elif token.kind in ("name", "regexp", "asterisk"):
                prefix = self._prefix if self._prefix and literal.endswith(self._prefix) else ""
                expression += self._fixed(literal.removesuffix(prefix)) + self._group(token, prefix, "")
                literal = ""
            else:
                raise TypeError(f"the pattern {self._source!r} has {token.text!r} where nothing is before it")
        return expression + self._fixed(literal)

    def _braces(self) -> str:
        """{text}, or {before:name after}."""
        before, token = self._text()
        group = token if token is not None and token.kind in ("name", "regexp", "asterisk") else None
        if group is None:
            self._close(token)
            modifier = self._modifier()
            return f"(?:{self._fixed(before)}){modifier}"
        matched = self._matched(group)
        after, token = self._text()
        self._close(token)
        return self._capture(matched, before, after, self._modifier())

    def _text(self) -> tuple[str, _Token | None]:
        text = ""
        while (token := self._take()) is not None and token.kind == "char":
            text += token.text
        return text, token

    def _close(self, token: _Token | None) -> None:
        if token is None or token.kind != "close":
            raise TypeError(f"the pattern {self._source!r} has a brace that does not close")

    def _group(self, token: _Token, prefix: str, suffix: str) -> str:
        matched = self._matched(token)
        return self._capture(matched, prefix, suffix, self._modifier())

    def _matched(self, token: _Token) -> str:
        """What a group matches. Gives it its name or number."""
        expression = {"regexp": f"(?:{token.text})", "asterisk": ".*"}.get(token.kind, f"(?:{self._segment})")
        name = token.text if token.kind == "name" else str(sum(group.isdecimal() for group in self.groups))
        if token.kind == "name" and (following := self._take("regexp")) is not None:
            expression = f"(?:{following.text})"
        if name in self.groups:
            raise TypeError(f"the pattern {self._source!r} has two groups named {name!r}")
        self.groups.append(name)
        return expression

    def _capture(self, matched: str, before: str, after: str, modifier: str) -> str:
        before, after = self._fixed(before), self._fixed(after)
        if modifier in ("*", "+"):
            repeated = f"{before}({matched}(?:{after}{before}{matched})*){after}"
            return repeated if modifier == "+" else f"(?:{repeated})?"
        return f"(?:{before}({matched}){after}){modifier}"

    def _modifier(self) -> str:
        token = self._take("modifier") or self._take("asterisk")
        return "" if token is None else token.text

    def _take(self, kind: Kind | None = None) -> _Token | None:
        if self._at == len(self._tokens) or kind not in (None, self._tokens[self._at].kind):
            return None
        self._at += 1
        return self._tokens[self._at - 1]

    def _fixed(self, text: str) -> str:
        return re.escape(quote(text.lower() if self._fold else text, safe="!#$%&'()*+,/:;=?@[]~-._|^{}\"\\<> `"))
