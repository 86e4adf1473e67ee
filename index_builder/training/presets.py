"""Named configurations of the systems: `compact` for two CPU cores, `reference` with the published encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from index_builder.errors import ModelError
from index_builder.resources import resource
from index_builder.systems import SYSTEMS, system_names
from index_builder.systems.config import SystemConfig
from index_builder.systems.registry import system_class
from index_builder.training.schedule import Schedule

PRESETS = ("compact", "reference")

_SCHEDULE = "schedule"
#: Fields that name, data and saving decide.
_DERIVED = frozenset({"system", "preset", "label_names", "encoder_digests", "portable", "image_architecture"})

_Model = TypeVar("_Model", bound=BaseModel)


def preset(system: str, name: str, overrides: Mapping[str, Any], label_names: Sequence[str] = ()) -> SystemConfig:
    """A system's configuration.

    Args:
        system: Name of a system.
        name: One of `PRESETS`.
        overrides: Fields of the system's configuration that replace the preset's; an entry "schedule" is left to
            `preset_schedule`, so that one file can hold both.
        label_names: Labels of the data; empty before they are known.

    Raises:
        ModelError: Unknown system, preset or field, or a value that does not fit.
    """
    fields = {**_read(system, name), **overrides}
    config_class = system_class(system).config_class
    fields.pop(_SCHEDULE, None)
    known = [field for field in config_class.model_fields if field not in _DERIVED]
    _refuse_unknown(fields, known, f"{system} system")
    fixed = {"system": system, "preset": name, "label_names": tuple(label_names)}
    return _checked(config_class, {**fields, **fixed}, f"{system} system")


def preset_schedule(system: str, name: str, overrides: Mapping[str, Any]) -> Schedule:
    """How long and how hard a preset trains; arguments and errors as `preset`, of which only "schedule" counts here."""
    own, wanted = _read(system, name).get(_SCHEDULE) or {}, overrides.get(_SCHEDULE) or {}
    if not isinstance(wanted, Mapping):
        raise ModelError(f"schedule: {wanted!r} is not a list of settings. Give e.g. schedule: {{epochs: 10}}.")
    fields = {**own, **wanted}
    _refuse_unknown(fields, list(Schedule.model_fields), "schedule")
    return _checked(Schedule, fields, "schedule")


def read_overrides(path: Path | None) -> dict[str, Any]:
    """Settings of a user's YAML file; none without a file.

    Raises:
        ModelError: The file cannot be read or is not a list of settings.
    """
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read as YAML ({error}). Give lines such as image_size: 224.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds no settings. Give lines such as image_size: 224.")
    return content


def _read(system: str, name: str) -> dict[str, Any]:
    if system not in system_names():
        raise ModelError(f"unknown system {system!r}. Known: {', '.join(system_names())}.")
    known = PRESETS if system in SYSTEMS else PRESETS[:1]
    if name not in known:
        raise ModelError(f"unknown preset {name!r} of {system}. Known: {', '.join(known)}.")
    if system not in SYSTEMS:  # a plug-in: what its configuration and the schedule say by themselves
        return {}
    content: dict[str, Any] = yaml.safe_load(resource("assets", "presets", f"{system}-{name}.yaml").read_text("utf-8"))
    return content


def _refuse_unknown(fields: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for field in fields:
        if field not in known:
            raise ModelError(f"{field!r} is not a setting of the {what}. Known: {', '.join(known)}.")


def _checked(model: type[_Model], fields: Mapping[str, Any], what: str) -> _Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{field}: {first['input']!r} does not suit the {what} ({first['msg']}).") from None
