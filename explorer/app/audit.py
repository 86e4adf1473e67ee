"""The audit log: who opened which case, as JSON lines; never what was searched for."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from index_builder.errors import AccessError

Event = Literal["sign-in", "refused", "case", "export"]


def record(path: Path, event: Event, who: str, role: str | None, **about: str) -> None:
    """Append one line; several processes may write to one file.

    Args:
        path: The log; made readable by its owner alone where it is not there yet.
        event: What happened.
        who: Name of the visitor.
        role: Role of the visitor; None: not let in.
        about: E.g. casebook and case.

    Raises:
        AccessError: It cannot be written: what is not recorded is not shown.
    """
    content = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, "who": who, "role": role}
    line = json.dumps(content | about, ensure_ascii=True) + "\n"
    try:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(log, line.encode())
        finally:
            os.close(log)
    except OSError as error:
        raise AccessError(
            f"the audit log {path.name} cannot be written ({error.strerror}), so nothing is shown. Inform the "
            "administrator."
        ) from None
