"""``examine`` and ``repair`` of the daemon's program: a profile without a daemon, or beside one that does not answer.

Each finding is one line of JSON, a code and its facts; whoever reads them has the words (:mod:`p2pchat.api.diagnosis`).

Rules:

- Nothing is asked: without a passphrase file a database behind a passphrase is not looked at.
- What another process may be using is touched under the lock of the profile alone.
- Repaired is only what loses nothing: a socket that nobody listens on, rights, and what a killed process has left. A
  damaged database is saved, as far as it can be, once its user has agreed; it stays beside the new one.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from p2pchat.api.diagnosis import TITLES, Finding, found
from p2pchat.api.passphrase import passphrase_from
from p2pchat.api.paths import ProfilePaths, checked_socket
from p2pchat.base.errors import Corrupt, P2PChatError, StoreError, UsageError, WrongPassphrase
from p2pchat.daemon import profile as profiles
from p2pchat.services import config
from p2pchat.store.keyfile import needs_passphrase, read_key, unfinished

if TYPE_CHECKING:
    from p2pchat.services.examine import Files

_NO_LIMIT_S = float("inf")


def examine(arguments: argparse.Namespace) -> None:
    """Tell what is so."""
    from p2pchat.services import examine as examining

    paths = ProfilePaths(arguments.profile)
    files = examining.Files(paths.data_dir, paths.config_file)
    if not paths.data_dir.exists():
        _tell([found("daemon.no_profile", profile=paths.profile), examining.configuration(files)])
        return
    findings = examining.examine(files, time.time())
    with _held(paths) as is_held:
        findings.append(found("daemon.none" if is_held else "daemon.silent"))
        if is_held:
            left = _left(paths)
            if left and not any(each.code in ("permissions.open", "permissions.foreign") for each in findings):
                findings = [each for each in findings if each.name != "permissions"]
                findings.append(found("permissions.left", paths=list(map(str, left))))
            is_read_only = any(each.code == "disk.read_only" for each in findings)
            findings.append(_database(files, arguments.passphrase_file, immutable=is_read_only))
            findings.append(_port(paths))
        else:
            findings.append(found("database.in_use"))
    known = {each.name for each in findings}
    _tell([*findings, *(found(f"{name}.no_daemon") for name in TITLES if name not in known | {"fix", "socket"})])


def repair(arguments: argparse.Namespace) -> None:
    """Put in order what can be, and tell what was."""
    from p2pchat.services import examine as examining

    paths = ProfilePaths(arguments.profile)
    files = examining.Files(paths.data_dir, paths.config_file)
    done: list[Finding] = []
    try:
        done += _repair_socket(checked_socket(Path(arguments.socket)) if arguments.socket else paths.socket)
        closed = examining.close(files)
        if closed:
            done.append(found("fix.rights", paths=list(map(str, closed))))
        if paths.data_dir.exists():
            with _held(paths) as is_held:
                if is_held:
                    left = _left(paths)
                    profiles.tidy(paths)
                    gone = [str(path) for path in left if not path.exists()]
                    done += [found("fix.left", paths=gone)] if gone else []
                    done += _salvage(files, arguments.passphrase_file, agreed=arguments.yes)
                else:
                    done.append(found("fix.daemon_runs"))
    except (P2PChatError, OSError) as error:
        reason = error.message if isinstance(error, P2PChatError) else f"{error.strerror}."
        done.append(found("fix.refused", reason=reason))
    _tell(done or [found("fix.nothing")])


@contextmanager
def _held(paths: ProfilePaths) -> Iterator[bool]:
    """Whether the profile is this process's alone, for the block."""
    from p2pchat.daemon.system import profile_lock

    with ExitStack() as stack:
        is_held = True
        try:
            stack.enter_context(profile_lock(paths.lock_file))
        except UsageError:
            is_held = False
        except StoreError:  # nothing can be written there, so that nobody else uses it either
            pass
        yield is_held


def _left(paths: ProfilePaths) -> list[Path]:
    """What a process that was killed has left."""
    return [path for path in (unfinished(paths.key_file), *profiles.unfinished(paths)) if path.exists()]


def _database(files: Files, passphrase_file: Path | None, *, immutable: bool) -> Finding:
    from p2pchat.services.doctor import of_integrity
    from p2pchat.store import integrity

    if not files.database.exists():
        return found("database.none", folder=str(files.folder))
    try:
        protected = needs_passphrase(files.key)
    except StoreError:
        return found("database.no_key")
    if protected and passphrase_file is None:
        return found("database.needs_passphrase")
    try:
        key = read_key(files.key, passphrase_from(passphrase_file) if protected and passphrase_file else None)
        log = files.of_database()[1]
        is_closed = not log.exists() or log.stat().st_size == 0  # then SQLite need not make one
        with integrity.opened(files.database, key, immutable=immutable or is_closed) as tx:
            return of_integrity(integrity.check(tx, _NO_LIMIT_S), files)
    except WrongPassphrase:
        return found("database.wrong_passphrase")
    except Corrupt:
        return found("database.unreadable", folder=str(files.folder))
    except StoreError as error:
        return found("database.refused", reason=error.message, folder=str(files.folder))


def _salvage(files: Files, passphrase_file: Path | None, *, agreed: bool) -> list[Finding]:
    """What can be saved of a damaged database, or what was, where its user has agreed; nothing where it is whole.

    Raises:
        P2PChatError: the disk refused, or the passphrase is wrong.
    """
    from p2pchat.daemon.system import SystemEntropy
    from p2pchat.store import repair as repairing

    protected = needs_passphrase(files.key)
    if protected and passphrase_file is None:
        return [found("fix.needs_passphrase")]
    key = read_key(files.key, passphrase_from(passphrase_file) if protected and passphrase_file else None)
    report = repairing.inspect(files.database, key)
    if report.sound or not (files.database.exists() or report.cut):
        return []
    if not report.has_owner and not report.cut:
        return [found("fix.cannot_be_saved", folder=str(files.folder))]
    if agreed or report.cut:  # what was begun was agreed to
        saved = repairing.salvage(files.database, key, SystemEntropy(), int(time.time() * 1000))
        report = repairing.inspect(files.database, key)
        contacts, messages = report.contacts.rows, report.messages.rows
        return [found("fix.saved", contacts=contacts, messages=messages, path=str(saved.aside))]
    return [
        found(
            "fix.can_be_saved",
            contacts=report.contacts.rows,
            contacts_of=_or_unknown(report.contacts.of),
            messages=report.messages.rows,
            messages_of=_or_unknown(report.messages.of),
            folder=str(files.folder),
        )
    ]


def _or_unknown(count: int | None) -> int | str:
    return "?" if count is None else count


def _port(paths: ProfilePaths) -> Finding:
    from p2pchat.net.addresses import endpoint, parse_address

    try:
        loaded = config.load(paths.config_file, os.environ, {})
        ends = [endpoint(parse_address(text)[0]) for text in loaded.listen]
    except UsageError:  # the configuration is told of by itself
        return found("port.any")
    if loaded.proxy and not ends:
        return found("port.proxied")
    for end in ends:
        if not end.port:
            continue
        try:
            _bind(end.host, end.port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return found("port.taken", port=end.port, path=str(paths.config_file))
            if error.errno == errno.EACCES:
                return found("port.forbidden", port=end.port, path=str(paths.config_file))
            reason = str(error.strerror)
            return found("port.refused", port=end.port, reason=reason, path=str(paths.config_file))
    return found("port.free") if any(end.port for end in ends) else found("port.any")


def _bind(host: str, port: int) -> None:
    """As the node does it; nobody can connect."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind((host, port))


def _repair_socket(path: Path) -> list[Finding]:
    from p2pchat.control.socket_file import remove_stale

    done: list[Finding] = []
    folder = path.parent
    if folder.is_dir() and not folder.is_symlink():
        info = folder.stat()
        if info.st_uid == os.geteuid() and info.st_mode & 0o077:
            folder.chmod(0o700)
            done.append(found("fix.rights", paths=[str(folder)]))
        if remove_stale(path):
            done.append(found("fix.socket", path=str(path)))
    return done


def _tell(findings: list[Finding]) -> None:
    for each in findings:
        print(msgspec.json.encode({"code": each.code, "facts": each.facts}).decode())
