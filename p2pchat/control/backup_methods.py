"""``backup.*``: write one, and read one as restoring it would."""

from __future__ import annotations

from pathlib import Path

from p2pchat.api import calls, objects
from p2pchat.control.server import Connection
from p2pchat.services import backup
from p2pchat.services.backup_source import Summary
from p2pchat.services.context import Context


class BackupMethods:
    """One method of the API each.

    Args:
        settings: the configuration file, of which a backup holds a copy.
        own: the profile's folder, in which no backup of it is written.
    """

    def __init__(self, context: Context, settings: Path | None, own: Path | None) -> None:
        self._context = context
        self._settings = settings
        self._own = own

    async def create(self, params: calls.BackupFile, _: Connection) -> objects.Backup:
        context, passphrase = self._context, params.passphrase.raw
        path = Path(params.path)
        made = await backup.create(context.db, path, passphrase, self._settings, context.entropy, own=self._own)
        return _shown(params, made)

    async def verify(self, params: calls.BackupFile, _: Connection) -> objects.Backup:
        return _shown(params, await backup.verify(Path(params.path), params.passphrase.raw))


def _shown(params: calls.BackupFile, found: Summary) -> objects.Backup:
    return objects.Backup(
        path=params.path,
        made_ms=found.made_ms,
        bytes=found.size_bytes,
        contacts=found.contacts,
        messages=found.messages,
    )
