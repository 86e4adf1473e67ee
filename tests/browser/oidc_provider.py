"""A small OpenID Connect provider on loopback: discovery, authorization code flow with PKCE, JWKS, signed id_token."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "cxr-explorer", "client-secret-of-the-test"


@dataclass
class Provider:
    """A running provider.

    Attributes:
        url: Issuer.
        people: Claims by login name.
        redirect_uri: The one address a code is sent to.
        lifetime: Seconds an id_token is valid.
        key: Signs id_tokens.
        forged: Whether id_tokens are signed with a key that is not published.
    """

    url: str = ""
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    redirect_uri: str = ""
    lifetime: int = 3600
    key: RSAKey = field(
        default_factory=lambda: RSAKey.generate_key(2048, {"kid": "test", "use": "sig", "alg": "RS256"})
    )
    forged: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def metadata_url(self) -> str:
        return f"{self.url}/.well-known/openid-configuration"

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "email", "profile"],
        }

    def id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + self.lifetime, "nonce": asked["nonce"]}
        key = RSAKey.generate_key(2048, {"kid": "test"}) if self.forged else self.key
        return jwt.encode({"alg": "RS256", "kid": "test"}, claims | self.people[asked["login"]], key)


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/.well-known/openid-configuration":
            self._json(self.provider.metadata())
        elif address.path == "/jwks":
            self._json(KeySet([self.provider.key]).as_dict(private=False))
        elif address.path == "/authorize" and "login" in asked:
            self._grant(asked)
        elif address.path == "/authorize":
            hidden = "".join(
                f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in asked.items()
            )
            names = "".join(f"<button name=login value={name}>{name}</button>" for name in self.provider.people)
            self._send(200, "text/html", f"<form action=/authorize>{hidden}{names}</form>".encode())
        else:
            self._send(404, "text/plain", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        known = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        granted = self.provider.codes.pop(asked.get("code", ""), None)
        verifier = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).decode().rstrip("=")
        if self.headers.get("Authorization") != f"Basic {known}":
            self._json({"error": "invalid_client"}, 401)
        elif granted is None or granted["code_challenge"] != challenge:
            self._json({"error": "invalid_grant"}, 400)
        else:
            token = self.provider.id_token(granted)
            self._json({"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token})

    def _grant(self, asked: dict[str, str]) -> None:
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") != self.provider.redirect_uri:
            self._send(400, "text/plain", b"unknown client or address")
            return
        code = secrets.token_urlsafe()
        self.provider.codes[code] = asked
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")
        self.end_headers()

    def _json(self, content: dict[str, Any], status: int = 200) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def providing() -> Iterator[Provider]:
    """Run a provider until the block ends."""
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": provider}))
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
