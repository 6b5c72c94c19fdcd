"""The server's half of AUTH for a relay with known users: PLAIN, LOGIN, SCRAM-SHA-256.

An exchange is a generator: it yields challenges, is sent responses, and returns the user's name, or None
where the secret was wrong. RFC 4616, RFC 5802, RFC 7677; LOGIN was never more than a draft.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Generator, Mapping

Exchange = Generator[bytes, bytes, str | None]
Users = Mapping[str, str]

_ITERATIONS = 4096  # the least that RFC 7677 allows; the sandbox's passwords are no secrets


def plain(users: Users, initial: bytes | None) -> Exchange:
    message = initial if initial is not None else (yield b"")
    _, user, password = [part.decode("utf-8", "replace") for part in (message.split(b"\0") + [b""] * 3)[:3]]
    return _checked(users, user, password)


def login(users: Users, initial: bytes | None) -> Exchange:
    user = initial if initial is not None else (yield b"Username:")
    password = yield b"Password:"
    return _checked(users, user.decode("utf-8", "replace"), password.decode("utf-8", "replace"))


def scram_sha_256(users: Users, initial: bytes | None) -> Exchange:
    first = initial if initial is not None else (yield b"")
    if first[:3] not in (b"n,,", b"y,,"):  # no channel binding is offered
        return None
    bare = first[3:]
    fields = _fields(bare)
    user = fields.get("n", "").replace("=2C", ",").replace("=3D", "=")
    nonce = fields.get("r", "") + base64.b64encode(secrets.token_bytes(18)).decode()
    salt = hashlib.sha256(b"bulkmail sandbox" + user.encode()).digest()[:16]
    server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={_ITERATIONS}".encode()
    final = yield server_first
    without_proof, _, proof_text = final.rpartition(b",p=")
    fields = _fields(without_proof)
    if fields.get("r") != nonce or fields.get("c") != base64.b64encode(first[:3]).decode():
        return None
    salted = hashlib.pbkdf2_hmac("sha256", users.get(user, "").encode(), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    message = bare + b"," + server_first + b"," + without_proof
    signature = hmac.digest(stored_key, message, "sha256")
    expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    try:
        proof = base64.b64decode(proof_text, validate=True)
    except ValueError:
        return None
    if user not in users or not hmac.compare_digest(proof, expected):
        return None
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    yield b"v=" + base64.b64encode(hmac.digest(server_key, message, "sha256"))
    return user


MECHANISMS: dict[str, Callable[[Users, bytes | None], Exchange]] = {
    "PLAIN": plain,
    "LOGIN": login,
    "SCRAM-SHA-256": scram_sha_256,
}


def _checked(users: Users, user: str, password: str) -> str | None:
    expected = users.get(user)
    if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
        return None
    return user


def _fields(message: bytes) -> dict[str, str]:
    parts = (part.partition("=") for part in message.decode("utf-8", "replace").split(","))
    return {name: value for name, _, value in parts}
