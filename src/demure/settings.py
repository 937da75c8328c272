"""The only reader of the environment: DEMURE_* variables to values. Composes what other modules own; decides nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from demure.errors import InvalidSetting
from demure.policy import DEFAULT

PREFIX = "DEMURE_"


class Settings(BaseSettings):
    """What an operator may set; docs/settings.md has a heading for each."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    models_dir: Path | None = None
    policy: str = DEFAULT


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment once. Raises InvalidSetting, which names the variable, the value and the form wanted."""
    given = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for variable in sorted(v for v in given if v.startswith(PREFIX)):
        name = variable.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields:
            known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
            raise InvalidSetting(f"{variable}: no such setting; known: {known}")
        values[name] = given[variable]
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        variable = PREFIX + str(first["loc"][0]).upper()
        raise InvalidSetting(f"{variable}: found {first['input']!r}; {first['msg']}") from error
