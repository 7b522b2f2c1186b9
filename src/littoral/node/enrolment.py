"""How a node comes by its identity: the root makes its own, a child enrols once and renews by its key."""

import logging

from littoral.core.errors import LittoralError, StartupError, StorageError
from littoral.core.http import Request, Response
from littoral.core.resources import Node
from littoral.core.transport import Transport
from littoral.node.seams import Seams
from littoral.security.ca import CertificateAuthority
from littoral.security.enrolment import EnrolmentAnswer, ParentFacts, enrol_request, renew_request
from littoral.security.identity import Identity, NodeFacts, NodeKey, load_identity, load_or_create_key, save_identity
from littoral.security.join import JoinToken, check_ca, hash_secret, parse_token
from littoral.wire import peer
from littoral.wire.problem import error_of

JOIN_CA = "/v1/join/ca"
JOIN_ENROL = "/v1/join/enrol"
JOIN_RENEW = "/v1/join/renew"
JOIN_TIMEOUT_S = 30.0
_log = logging.getLogger("littoral.hub")


async def establish_identity(
    config: Node, token: str | None, seams: Seams
) -> tuple[Identity, CertificateAuthority | None]:
    """The node's identity, made or fetched if it has none yet; at the root with the CA.

    A node that has one starts with it, expired or not: what runs here needs no parent, and the hub renews it. A token
    that was not used yet is shown to the parent first, for whoever gave it wants the node to join anew.

    Raises: StartupError when a child has neither identity nor token, or a token of another node; InvalidInput for a
    token that is none; for a node without an identity also whatever the parent answers, and PeerUnreachable.
    """
    identity = load_identity(seams.disk)
    if identity is not None and identity.node != config.metadata.name:
        raise StartupError(
            "start node",
            config.metadata.name,
            f"the data directory is that of {identity.node}",
            "Use another directory",
        )
    if config.spec.parent is None:
        return root_identity(config, identity, seams)
    if token is not None:
        identity = await _join(config, _token_for(config, token), identity, seams)
    if identity is None:
        raise StartupError(
            "start node",
            config.metadata.name,
            "it has no identity yet and no join token was given",
            f"Run `littoral token create {config.metadata.name}` at the parent and start with --token",
        )
    return identity, None


async def _join(config: Node, token: JoinToken, identity: Identity | None, seams: Seams) -> Identity:
    """The identity that the token brings; the one there is, if the token brought that, or brings none now."""
    if identity is None:
        return await enrol(config, token, seams)
    if identity.facts.token == _shown_as(token):
        return identity
    try:
        return await enrol(config, token, seams)
    except StorageError:
        # The files of the identity there was may be half replaced.
        raise
    except LittoralError as error:
        # Local first: what runs here runs on, and the next start shows the token again.
        _log.warning("%s: %s. It starts with the identity it has", config.metadata.name, error)
        return identity


def root_identity(config: Node, identity: Identity | None, seams: Seams) -> tuple[Identity, CertificateAuthority]:
    """The root's own identity, made or renewed if need be, and the CA."""
    name = config.metadata.name
    authority = CertificateAuthority.load(seams.disk)
    if authority is None:
        authority = CertificateAuthority.create(name, seams.clock, seams.random)
        authority.save(seams.disk)
    if identity is None or identity.needs_renewal(seams.clock.wall_ms()):
        key = load_or_create_key(seams.disk, seams.random)
        advertise = config.spec.advertise
        issued = authority.sign(key.request(name, advertise), name, advertise, seams.clock, seams.random)
        identity = Identity(key, issued.certificate_pem, authority.certificate_pem, NodeFacts(name))
        save_identity(seams.disk, identity)
    return identity, authority


def _token_for(config: Node, text: str) -> JoinToken:
    token = parse_token(text)
    if token.node != config.metadata.name:
        raise StartupError(
            "enrol", config.metadata.name, f"the join token is for node {token.node}", "Create one for this node"
        )
    return token


def _shown_as(token: JoinToken) -> str:
    """What a node remembers of the token that let it in."""
    return hash_secret(token.secret).hex()


async def enrol(config: Node, token: JoinToken, seams: Seams) -> Identity:
    """Show the token to the parent, and keep what it answers."""
    assert config.spec.parent is not None
    join_url = config.spec.parent.join_url or token.join_url
    ca = await seams.joining(None).request(join_url, Request("GET", JOIN_CA), JOIN_TIMEOUT_S)
    ca_pem = check_ca(_body(ca, join_url), token)
    key = load_or_create_key(seams.disk, seams.random)
    body = peer.encode(enrol_request(key, token, config.spec.advertise))
    answer = await _ask(seams.joining(ca_pem), join_url, JOIN_ENROL, body)
    return _keep(config, key, answer, join_url, _shown_as(token), seams)


async def renew(config: Node, identity: Identity, seams: Seams) -> Identity:
    """A new certificate for the same key."""
    assert config.spec.parent is not None
    assert identity.facts.parent is not None
    join_url = join_url_of(config, identity)
    if join_url is None:
        raise StartupError("renew", identity.node, "the parent's join listener is not known", "Set spec.parent.joinUrl")
    request = renew_request(
        identity.key,
        node=identity.node,
        parent=identity.facts.parent,
        advertise=config.spec.advertise,
        clock=seams.clock,
        random=seams.random,
        certificate_pem=identity.certificate_pem,
    )
    answer = await _ask(seams.joining(identity.ca_pem), join_url, JOIN_RENEW, peer.encode(request))
    return _keep(config, identity.key, answer, join_url, identity.facts.token, seams)


def join_url_of(config: Node, identity: Identity) -> str | None:
    """The parent's join listener, as far as it is known."""
    stated = config.spec.parent.join_url if config.spec.parent is not None else None
    return stated or identity.facts.join_url


async def _ask(transport: Transport, join_url: str, path: str, body: bytes) -> EnrolmentAnswer:
    response = await transport.request(join_url, Request("POST", path, body=body), JOIN_TIMEOUT_S)
    return peer.decode(_body(response, join_url), EnrolmentAnswer, "answer of the join listener")


def _body(response: Response, join_url: str) -> bytes:
    if response.status != 200:
        raise error_of(response.status, response.body, "join", join_url)
    return response.body


def _keep(
    config: Node, key: NodeKey, answer: EnrolmentAnswer, join_url: str, token: str | None, seams: Seams
) -> Identity:
    parent: ParentFacts = answer.parent
    facts = NodeFacts(config.metadata.name, parent.node, parent.url, join_url, token)
    identity = Identity(key, answer.certificate_pem, answer.ca_pem, facts)
    save_identity(seams.disk, identity)
    return identity
