"""What several checks ask of, each looked at once: the settings, and the database that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from demure.doctor.contents import Contents
from demure.doctor.database import Condition, read_condition
from demure.doctor.place import Access, Target, Unreadable, look_at_file, target_of
from demure.doctor.variables import Reading
from demure.settings import Settings


@dataclass
class Case:
    reading: Reading
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        return self.reading.settings

    @cached_property
    def target(self) -> Target | Unreadable:
        try:
            return target_of(self.settings)
        except Unreadable as error:
            return error

    @cached_property
    def access(self) -> Access | None:
        """Of a file. None where there is none to be."""
        if isinstance(self.target, Unreadable) or self.target.path is None:
            return None
        return look_at_file(self.target.path, self.settings.data_dir.expanduser())

    @cached_property
    def condition(self) -> Condition | Unreadable | None:
        """None where there is nothing yet that could be opened."""
        if isinstance(self.target, Unreadable):
            return self.target
        if self.target.in_memory or (self.access is not None and self.access.is_missing):
            return None
        if self.access is not None and self.access.is_shut:
            return Unreadable(
                f"{self.target.path}: cannot be read by {self.access.by}", "ask as the user of the service"
            )
        try:
            return read_condition(self.target)
        except Unreadable as error:
            return error

    @property
    def contents(self) -> Contents | None:
        """None where they cannot be known."""
        if self.condition is None:
            return Contents()
        return None if isinstance(self.condition, Unreadable) else self.condition.contents
