"""JSON Web Tokens that are signed with a shared key (RFC 7519; HS256 of RFC 7518)."""

import base64
import hashlib
import hmac
import json


class BadToken(Exception):
    """Why it is not taken."""


def claims_of(authorization, key, now_s):
    """What a token says, if it is ours and holds yet. Raises BadToken."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or token.count(".") != 2:
        raise BadToken("send a token: authorization: Bearer ...")
    signed, _, signature = token.rpartition(".")
    try:
        header, claims = (json.loads(_decoded(part)) for part in signed.split("."))
        shown = _decoded(signature)
    except ValueError:
        raise BadToken("what is sent is no token") from None
    # Only what we sign with: a token must not choose its own check.
    if header.get("alg") != "HS256":
        raise BadToken("the token is not signed with HS256")
    if not hmac.compare_digest(hmac.digest(key.encode(), signed.encode(), hashlib.sha256), shown):
        raise BadToken("the token was not signed by us")
    if claims.get("exp", 0) <= now_s:
        raise BadToken("the token is too old")
    if not claims.get("sub"):
        raise BadToken("the token says of nobody who they are")
    return claims


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
