"""What is kept: keys, decisions, reviews, verdicts, events, the audit log, accounts. SQLite or PostgreSQL."""

from __future__ import annotations

from demure.settings import Settings
from demure.store.database import Database
from demure.store.keys import Keys


def open_database(settings: Settings) -> Database:
    """The database that the settings name, its tables up to date. Close it.

    Raises InvalidSetting for a URL that cannot be, StorageUnavailable and StorageFull.
    """
    database = Database(settings.database_url or f"sqlite:///{settings.data_dir.expanduser() / 'demure.db'}")
    try:
        database.migrate()
        Keys(database).take_in(settings.key_file)
    except BaseException:
        database.close()
        raise
    return database
