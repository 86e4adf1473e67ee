"""Access rules: who may do what, read from `[access]` of Streamlit's secrets. See docs/how-to/sign-in.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from index_builder.errors import AccessError

#: A viewer reads; an exporter may also take results, figures and casebooks away.
Role = Literal["viewer", "exporter"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class People(_Section):
    """People who get a role: a match of any of the three is enough.

    Attributes:
        emails: Whole addresses.
        domains: What follows the @ of an address; subdomains are others.
        groups: Values of the groups claim.
    """

    emails: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def include(self, email: str | None, groups: frozenset[str]) -> bool:
        """Whether a person with this verified address and these groups is included."""
        if not groups.isdisjoint(self.groups):
            return True
        if email is None:
            return False
        domain = email.rpartition("@")[2]
        return email in map(str.casefold, self.emails) or domain in map(str.casefold, self.domains)


class AccessRules(_Section):
    """The section `[access]`.

    Attributes:
        viewer: Who may look.
        exporter: Who may look and take away.
        audit_log: File that is told who opened which case.
        groups_claim: Claim of the identity token that lists groups.
    """

    viewer: People = People()
    exporter: People = People()
    audit_log: Path
    groups_claim: str = "groups"

    @classmethod
    def of_secrets(cls, section: Mapping[str, Any] | None) -> AccessRules:
        """Rules of a section.

        Raises:
            AccessError: It is missing, which would let in nobody, or a field is wrong.
        """
        if section is None:
            raise AccessError(
                "sign-in is configured ([auth] in secrets.toml), but nobody is let in. Add a section [access] with "
                "audit_log and [access.viewer] or [access.exporter]; see docs/how-to/sign-in.md."
            )
        try:
            return cls.model_validate(section)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(["access", *map(str, first["loc"])])
            raise AccessError(f"secrets.toml: {place}: {first['msg']}. See docs/how-to/sign-in.md.") from None

    def role_of(self, claims: Mapping[str, Any]) -> Role | None:
        """Role of a person with these claims of an identity token; None: not let in.

        An address counts only where the provider says that it is verified (OpenID Connect Core 1.0, 5.1 and 5.7).
        """
        email = claims.get("email")
        verified = claims.get("email_verified") in (True, "true")
        address = email.casefold() if isinstance(email, str) and verified and "@" in email else None
        named = claims.get(self.groups_claim)
        listed = [named] if isinstance(named, str) else named if isinstance(named, list) else []
        groups = frozenset(one for one in listed if isinstance(one, str))
        if self.exporter.include(address, groups):
            return "exporter"
        return "viewer" if self.viewer.include(address, groups) else None


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is signed in.

    Attributes:
        name: Address, or the provider's subject where there is none: what the audit log says.
        role: None: not let in.
        expires: When the identity token runs out, in seconds since 1970.
    """

    name: str
    role: Role | None
    expires: float

    @classmethod
    def of_claims(cls, claims: Mapping[str, Any], rules: AccessRules) -> Visitor:
        """The visitor that an identity token names."""
        name = claims.get("email") or claims.get("sub") or "unknown"
        expires = claims.get("exp")
        return cls(str(name), rules.role_of(claims), float(expires) if isinstance(expires, int | float) else 0.0)

    @property
    def expired(self) -> bool:
        """Whether the identity token has expired; Streamlit itself does not check."""
        return self.expires <= time()


def check_may_export(visitor: Visitor | None) -> None:
    """Let a visitor who may download files pass, and anybody where no sign-in is configured (None).

    Raises:
        AccessError: A viewer, or a sign-in that has expired.
    """
    if visitor is None:
        return
    if visitor.expired:
        raise AccessError("your session has expired. Sign in again.")
    if visitor.role != "exporter":
        raise AccessError("your role may view but not download files. Ask for the exporter role.")
