"""Stable names for cases, patients and DICOM objects that only the holder of a key can repeat."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets

from index_builder.errors import DatasetError

#: Environment variable that holds the key, for pseudonyms that stay the same from one build to the next.
KEY_VARIABLE = "CXR_DEIDENTIFY_KEY"
_FEWEST_CHARACTERS = 16


class Pseudonyms:
    """HMAC-SHA-256 of an identifier: 80 bits of it for names, 128 for UIDs.

    Without the key nobody can compute the pseudonym of a guessed identifier; the key is written nowhere.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_environment(cls) -> Pseudonyms:
        """Make pseudonyms with the key of `KEY_VARIABLE`, or with a random one that is forgotten with this process.

        Raises:
            DatasetError: The key is too short to withstand guessing.
        """
        given = os.environ.get(KEY_VARIABLE)
        if given is None:
            return cls(secrets.token_bytes(32))
        if len(given) < _FEWEST_CHARACTERS:
            raise DatasetError(
                f"{KEY_VARIABLE} holds {len(given)} characters. Give at least {_FEWEST_CHARACTERS}, drawn at random, "
                "or unset it: a random key is then used once."
            )
        return cls(given.encode())

    def name(self, kind: str, identifier: str) -> str:
        """E.g. "patient-4l6yq2vj7o3cm5wx" of kind "patient"."""
        return f"{kind}-{base64.b32encode(self._digest(kind, identifier)[:10]).decode('ascii').lower()}"

    def uid(self, identifier: str) -> str:
        """A DICOM UID of the form 2.25.NUMBER (PS3.5, B.2)."""
        return f"2.25.{int.from_bytes(self._digest('uid', identifier)[:16], 'big')}"

    def _digest(self, kind: str, identifier: str) -> bytes:
        return hmac.digest(self._key, f"{kind}\0{identifier}".encode(), hashlib.sha256)
