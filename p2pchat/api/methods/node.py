"""``node``, ``passphrase``, ``rpc``, ``config``, ``stats`` and ``backup``: the daemon, the profile and its files."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, doctor_objects, objects, openrpc_objects, settings, stats_objects
from p2pchat.api.methods.spec import MethodSpec

NODE: Final = {
    "node.hello": MethodSpec(
        calls.NodeHello, objects.Hello, False, "Says what speaks here and which events it still has.", True
    ),
    "node.status": MethodSpec(calls.NoParams, objects.Status, False, "Shows the node at a glance.", True),
    "node.doctor": MethodSpec(
        calls.NodeDoctor,
        doctor_objects.Diagnosis,
        False,
        "Looks for what does not work, and says what to do; up to half a minute. Repairs nothing. Locked, it looks at "
        "what needs no key.",
        True,
    ),
    "node.shutdown": MethodSpec(
        calls.NoParams, objects.Empty, False, "Ends the daemon. Replies to what is in flight still go out.", True
    ),
    "node.lock": MethodSpec(
        calls.NoParams,
        objects.Empty,
        False,
        "Drops the keys, leaves the network, closes the database; replies when that is done. FORBIDDEN for a profile "
        "without a passphrase.",
        errors=("FORBIDDEN",),
    ),
    "node.unlock": MethodSpec(
        calls.NodeUnlock,
        objects.Empty,
        False,
        "Opens the profile; where it is open, only checks the passphrase. A wrong one is FORBIDDEN. One is tried at a "
        "time, half a second each. ADDRESS_IN_USE where another program has taken the port meanwhile: the node stays "
        "locked.",
        True,
        ("FORBIDDEN", "ADDRESS_IN_USE"),
    ),
}

PASSPHRASE: Final = {
    "passphrase.change": MethodSpec(
        calls.PassphraseChange,
        objects.Empty,
        False,
        "Wraps the key of the profile anew. `old` is wrong: FORBIDDEN, and nothing changes. After a crash at any "
        "moment one of the two opens.",
        errors=("FORBIDDEN",),
    ),
}

RPC: Final = {
    "rpc.discover": MethodSpec(
        calls.NoParams,
        openrpc_objects.OpenRpc,
        False,
        "Describes this API: an [OpenRPC](https://spec.open-rpc.org) 1.3 document, made of the types that check every "
        "call. This page is made of the same.",
        True,
    ),
}

CONFIG: Final = {
    "config.get": MethodSpec(
        settings.ConfigGet,
        settings.Config,
        False,
        "Shows how this node is configured: all settings, or the one of that key.",
        True,
    ),
    "config.set": MethodSpec(
        settings.ConfigSet,
        settings.Setting,
        True,
        "Writes a setting into the configuration file, in which everything else stays; null takes it out. At once in "
        "effect where that can be, and the reply says so.",
        True,
    ),
}

STATS: Final = {
    "stats.get": MethodSpec(
        calls.NoParams,
        stats_objects.Stats,
        False,
        "Tells what goes on in the node, in numbers: connections, what others were refused by kind, memory, disk, "
        "commits. `p2pchat stats` prints it.",
    ),
}

BACKUP: Final = {
    "backup.create": MethodSpec(
        calls.BackupFile,
        objects.Backup,
        False,
        "Writes a backup into the new file `path` ([BACKUP.md](BACKUP.md)), of the moment at which it begins; the node "
        "goes on. ALREADY_EXISTS where there is a file; INVALID_PARAMS in the profile's own folder; STORE where "
        "nothing can be written. One at a time; a client that leaves ends it, and no file is left.",
        errors=("ALREADY_EXISTS", "STORE"),
    ),
    "backup.verify": MethodSpec(
        calls.BackupFile,
        objects.Backup,
        False,
        "Reads all of a backup as restoring it would. A wrong passphrase is FORBIDDEN; a file that is none, cut short, "
        "damaged or altered CORRUPT; one that cannot be read, or of a newer version, STORE, naming the p2pchat that it "
        "needs.",
        errors=("FORBIDDEN", "CORRUPT", "STORE"),
    ),
}
