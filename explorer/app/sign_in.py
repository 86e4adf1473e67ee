"""Sign-in with an OpenID Connect provider, where `[auth]` is configured; without it everybody is let in."""

from __future__ import annotations

from importlib.util import find_spec

import streamlit as st

from explorer.app import audit
from explorer.app.access import AccessRules, Visitor
from index_builder.errors import AccessError, InstallationError


def admitted() -> bool:
    """Whether this session may see anything; where not, the sign-in is drawn instead.

    Raises:
        AccessError: The configuration is wrong, or the audit log cannot be written.
    """
    rules = _rules()
    if rules is None:
        return True
    visitor = signed_in()
    if visitor is None or visitor.expired:
        _ask(
            "Your session has expired." if visitor else "This explorer is for people who sign in.", "Sign in", st.login
        )
        return False
    _record_once(rules, visitor, "refused" if visitor.role is None else "sign-in")
    if visitor.role is None:
        _ask(f"{visitor.name} is not on this explorer's list. Ask its administrator.", "Sign out", st.logout)
        return False
    return True


def signed_in() -> Visitor | None:
    """Who is signed in, whether or not let in; None where nobody is or no sign-in is configured."""
    rules = _rules()
    if rules is None:
        return None
    claims = st.user.to_dict()
    return Visitor.of_claims(claims, rules) if claims.get("is_logged_in") else None


def sign_out_panel() -> None:
    """Name and role of who is signed in, and the way out; nothing where no sign-in is configured."""
    visitor = signed_in()
    if visitor is None:
        return
    with st.container(key="cxr-visitor", gap="xsmall"):
        st.caption("Signed in as")
        st.text(f"{visitor.name} ({visitor.role})")
        st.button("Sign out", icon=":material/logout:", key="sign-out", type="tertiary", on_click=st.logout)
    if visitor.role == "viewer":
        # What a browser shows it can also save; these buttons would only invite to.
        st.html("<style>[data-testid=stElementToolbar], .modebar { display: none !important; }</style>")


def record_case(casebook: str, case_id: str) -> None:
    """Record in the audit log that a case was opened; again only after another one was.

    Raises:
        AccessError: The log cannot be written.
    """
    rules, visitor = _rules(), signed_in()
    opened = (casebook, case_id)
    if rules is None or visitor is None or st.session_state.get("audited-case") == opened:
        return
    audit.record(rules.audit_log, "case", visitor.name, visitor.role, casebook=casebook, case=case_id)
    st.session_state["audited-case"] = opened


def record_export(visitor: Visitor | None, file_name: str) -> None:
    """Record a download in the audit log. Raises `AccessError` where it cannot be written."""
    rules = _rules()
    if rules is not None and visitor is not None:
        audit.record(rules.audit_log, "export", visitor.name, visitor.role, file=file_name)


def _record_once(rules: AccessRules, visitor: Visitor, event: audit.Event) -> None:
    if st.session_state.get("audited-visitor") != (visitor.name, event):
        audit.record(rules.audit_log, event, visitor.name, visitor.role)
        st.session_state["audited-visitor"] = (visitor.name, event)


def _ask(text: str, label: str, action: object) -> None:
    with st.container(key="cxr-sign-in", border=True, width=420, gap="small"):
        st.title("CXR Explorer", anchor=False)
        st.text(text)
        st.button(label, type="primary", icon=":material/login:", key="sign-in", on_click=action)  # type: ignore[arg-type]


@st.cache_resource(show_spinner=False)
def _rules() -> AccessRules | None:
    """Rules of this process, read once: a file that vanishes later opens nothing."""
    if not st.secrets.load_if_toml_exists() or "auth" not in st.secrets:
        return None
    if find_spec("authlib") is None:
        raise InstallationError("sign-in needs one more package. Install it: pip install 'cxr-explorer[auth]'")
    section = st.secrets.get("access")
    try:
        return AccessRules.of_secrets(None if section is None else section.to_dict())
    except AttributeError:
        raise AccessError("secrets.toml: access: write it as section [access]. See docs/how-to/sign-in.md.") from None
