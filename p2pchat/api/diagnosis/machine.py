"""What the doctor says of this machine: the daemon, its files, and what was repaired."""

from __future__ import annotations

from typing import Final

from p2pchat.api.diagnosis.said import Said

TITLES: Final = {
    "fix": "repaired",
    "daemon": "daemon",
    "socket": "socket",
    "configuration": "configuration",
    "permissions": "permissions",
    "key": "key",
    "disk": "disk",
    "memory": "memory",
    "database": "database",
    "clock": "clock",
    "port": "port",
}

_AGAIN: Final = "Restart the daemon: {program} stop, and then {program} daemon"
_CLOCK: Final = "Set the clock of this machine, and let it keep time by itself (as root: timedatectl set-ntp true)."
_ROOM: Final = "Make room on the disk that holds {folder}."
_BACKUP: Final = (
    "If you have a backup: move {folder} out of the way, and then {program} backup restore FILE. Without one, nothing "
    "in the profile can be read again."
)

SAID: Final[dict[str, Said]] = {
    "fix.nothing": Said("ok", "There was nothing that could be repaired from here."),
    "fix.socket": Said("ok", "The socket that was left over is removed: {path}"),
    "fix.rights": Said("ok", "Closed to other users: {paths}"),
    "fix.left": Said("ok", "What a p2pchat that was killed had left is removed: {paths}"),
    "fix.refused": Said("failed", "It could not be repaired: {reason}"),
    "fix.can_be_saved": Said(
        "warning",
        "The database is damaged. What can be read of it can be put into a new one: contacts: {contacts} of "
        "{contacts_of}, messages: {messages} of {messages_of}. The rest is lost. This becomes a new device, as after "
        "restoring a backup; the damaged database is kept beside it.",
        "To have that done: {program} doctor --fix --yes. If you have a backup that is new enough, it may hold more: "
        "{program} backup restore FILE, once {folder} is out of the way.",
    ),
    "fix.saved": Said(
        "ok",
        "A new database has what could be read of the damaged one: contacts: {contacts}, messages: {messages}. The "
        "damaged one is kept as {path}",
    ),
    "fix.cannot_be_saved": Said(
        "failed",
        "The database is damaged where it says who you are: nothing of it can be saved. Nothing was changed.",
        _BACKUP,
    ),
    "fix.needs_passphrase": Said(
        "skipped",
        "Whether the database can be repaired was not looked at: that needs the passphrase.",
        "Give it in a file: {program} doctor --fix --passphrase-file FILE",
    ),
    "fix.daemon_runs": Said(
        "skipped",
        "The rest is repaired only while no daemon is running.",
        "{program} stop, and then again: {program} doctor --fix",
    ),
    # the daemon
    "daemon.running": Said("ok", "The daemon is running, version {version}."),
    "daemon.other_version": Said(
        "warning", "The daemon is running with version {version}, and this command is version {own}.", _AGAIN
    ),
    "daemon.too_old": Said(
        "warning", "The daemon that is running is of an older version, which cannot examine itself.", _AGAIN
    ),
    "daemon.locked": Said(
        "warning",
        "The daemon is running and locked: it has no keys and is in no network.",
        "Unlock it: {program} unlock",
    ),
    "daemon.none": Said(
        "failed", "No daemon is running, so nothing is sent and nothing arrives.", "Start it: {program} daemon"
    ),
    "daemon.no_profile": Said(
        "failed",
        "There is no profile {profile} yet.",
        "Make it: {program} init. If there should be one, look whether P2PCHAT_HOME, XDG_DATA_HOME or --profile is "
        "what it was before.",
    ),
    "daemon.silent": Said(
        "failed",
        "A daemon has this profile, but it does not answer here.",
        "It may just be starting or ending: try again in a minute. Was it started with another --socket, P2PCHAT_HOME "
        "or XDG_RUNTIME_DIR? Use the same here. Otherwise end its process, and start it again: {program} daemon",
    ),
    # the socket
    "socket.ok": Said("ok", "The daemon answers on its socket."),
    "socket.none": Said("skipped", "There is no socket, since no daemon has made one."),
    "socket.no_runtime_folder": Said(
        "skipped",
        "There is no socket. XDG_RUNTIME_DIR is not set here, so that it is looked for in {folder}.",
        "A daemon that was started where XDG_RUNTIME_DIR is set has its socket elsewhere: set it to the same here.",
    ),
    "socket.elsewhere": Said(
        "failed",
        "Nothing answers here, but there is a socket of this profile elsewhere: {path}",
        "The daemon was started with another XDG_RUNTIME_DIR. Set it to the same here, or give --socket {path}",
    ),
    "socket.stale": Said(
        "warning",
        "A socket is left over from a daemon that was killed.",
        "The next start replaces it. To remove it now: {program} doctor --fix",
    ),
    "socket.no_socket": Said(
        "failed",
        "Something that is no socket lies where the daemon makes its socket: {path}",
        "Look what it is, and move it away; the daemon does not start before.",
    ),
    "socket.foreign": Said(
        "failed",
        "The socket, or its folder {folder}, belongs to another user.",
        "Work as the user who runs the daemon, or give the folder to yourself (as root: chown).",
    ),
    "socket.open": Said(
        "failed",
        "The folder of the socket, {folder}, is open to other users. The daemon refuses to start with that.",
        "Close it: chmod 700 {folder}, or {program} doctor --fix",
    ),
    "socket.too_long": Said(
        "failed",
        "The path of the socket has {bytes} bytes, and the system allows {most}.",
        "Set P2PCHAT_HOME, or --socket, to something shorter.",
    ),
    "socket.silent": Said(
        "failed",
        "Something takes connections on the socket, but does not reply.",
        "It may be busy: try again in a minute. If it stays so, end its process, and start it again: {program} daemon",
    ),
    # the configuration
    "configuration.ok": Said("ok", "The configuration file is in order."),
    "configuration.none": Said("ok", "There is no configuration file: everything is as delivered."),
    "configuration.refused": Said(
        "failed",
        "The configuration file is refused. {reason}",
        "Correct {path}; the daemon does not start before. docs/OPERATIONS.md has all keys.",
    ),
    # permissions
    "permissions.ok": Said("ok", "The files of the profile are yours and closed to others."),
    "permissions.open": Said(
        "failed",
        "Other users of this machine can get at these files of the profile: {paths}",
        "Close them: {program} doctor --fix",
    ),
    "permissions.foreign": Said(
        "failed",
        "These files of the profile belong to another user: {paths}",
        "Give them to yourself (as root: chown), and run p2pchat always as the same user.",
    ),
    "permissions.left": Said(
        "warning",
        "What a p2pchat that was killed has left is still there: {paths}",
        "The next start removes it. To remove it now: {program} doctor --fix",
    ),
    # the key
    "key.protected": Said("ok", "The key of the profile is there, behind a passphrase."),
    "key.open": Said("ok", "The key of the profile is there, without a passphrase: whoever has the disk reads all."),
    "key.none": Said("failed", "The key file of the profile is gone.", _BACKUP),
    "key.damaged": Said("failed", "The key file of the profile is damaged.", _BACKUP),
    "key.unreadable": Said(
        "failed", "The key file of the profile cannot be read. {reason}", "Look who may read the files in {folder}."
    ),
    # the disk
    "disk.ok": Said("ok", "{free_mib} MiB are free, and a write is on the disk within {ms} ms."),
    "disk.low": Said("warning", "Only {free_mib} MiB are free on the disk of the profile.", _ROOM),
    "disk.full": Said("failed", "The disk of the profile is full: nothing new can be kept, sent or received.", _ROOM),
    "disk.read_only": Said(
        "failed",
        "The disk of the profile can only be read: nothing new can be kept, sent or received.",
        "Often the system does that after an error of the disk: look at its log (dmesg), save what you can, and then "
        "have the disk of {folder} writable again.",
    ),
    "disk.slow": Said(
        "warning",
        "The disk of the profile is slow: one write took {ms} ms, and so long does each message take.",
        "Look whether something else keeps the disk busy or whether it is failing (smartctl). A disk of this machine "
        "is better than one of the network.",
    ),
    "disk.refused": Said(
        "failed", "Nothing can be written in {folder}: {reason}.", "Make it a folder of yours, open to you alone."
    ),
    # memory
    "memory.ok": Said("ok", "{free_mib} MiB of memory are available."),
    "memory.low": Said(
        "warning",
        "Only {free_mib} MiB of memory are available. Opening a profile with a passphrase, and looking for a contact, "
        "take 256 MiB for a moment.",
        "End other programs, or give the machine swap space.",
    ),
    "memory.unknown": Said("skipped", "This system does not say how much memory is available."),
    # the database
    "database.ok": Said("ok", "The database is whole: all of its {mib} MiB were checked, in {ms} ms."),
    "database.unfinished": Said(
        "skipped",
        "The database has {mib} MiB, and the check was ended after {ms} ms. As far as it got, nothing was wrong.",
        "For a check to the end stop the daemon ({program} stop), and then again: {program} doctor",
    ),
    "database.damaged": Said(
        "failed",
        "The database is damaged. Places where it is: {places}.",
        "Stop the daemon ({program} stop), copy {folder} to another disk, and then see what can be saved: {program} "
        "doctor --fix",
    ),
    "database.unreadable": Said(
        "failed",
        "The database cannot be opened: its beginning is damaged, or the key file is that of another profile.",
        "Copy {folder} to another disk, and then see what can be saved: {program} doctor --fix",
    ),
    "database.refused": Said("failed", "The database cannot be read. {reason}", "Look at the disk of {folder} first."),
    "database.none": Said("failed", "The database of the profile is gone.", _BACKUP),
    "database.locked": Said(
        "skipped",
        "Not looked at: the profile is locked.",
        "Unlock it ({program} unlock), and then again: {program} doctor",
    ),
    "database.needs_passphrase": Said(
        "skipped",
        "Not looked at: that needs the passphrase.",
        "Give it in a file: {program} doctor --passphrase-file FILE",
    ),
    "database.wrong_passphrase": Said(
        "failed", "Not looked at: the passphrase is wrong.", "Try it again with the right one."
    ),
    "database.in_use": Said("skipped", "Not looked at: a daemon has it that does not answer."),
    "database.no_key": Said("skipped", "Not looked at: without its key it cannot be read."),
    "database.older": Said(
        "ok",
        "The database is whole, and of an older version of p2pchat (schema {schema}, now {newest}); the next start "
        "brings it up to date.",
    ),
    "database.newer": Said(
        "failed",
        "A newer version of p2pchat has written the database (schema {schema}; this one knows {newest}).",
        "Install the newest p2pchat. Nothing was changed.",
    ),
    # the clock
    "clock.ok": Said("ok", "The clock is right, as far as other nodes can tell."),
    "clock.plausible": Said("ok", "The clock is plausible; it was compared with nobody's."),
    "clock.refused": Said(
        "failed",
        "The clock is wrong by more than 10 minutes: other nodes refuse what this one publishes, so that nobody new "
        "finds it.",
        _CLOCK,
    ),
    "clock.behind": Said("failed", "The clock is behind: it says {date}, and there are files from {known}.", _CLOCK),
    "clock.ahead": Said("failed", "The clock is far ahead: it says {date}.", _CLOCK),
    # the ports
    "port.free": Said("ok", "The ports on which the node is to listen are free."),
    "port.listening": Said("ok", "The node listens at port {port}."),
    "port.any": Said("ok", "No port is named: the node takes one that is free."),
    "port.proxied": Said("ok", "The node listens at no port: connections leave through a proxy (net.proxy)."),
    "port.taken": Said(
        "failed",
        "Another program has port {port}, on which the node is to listen: the daemon does not start.",
        "End that program (ss -ltnp shows it), or name another port under listen in {path}",
    ),
    "port.forbidden": Said(
        "failed",
        "The node may not listen at port {port}, as the configuration says: that needs rights that this user does not "
        "have.",
        "Give the program CAP_NET_BIND_SERVICE, or as root: sysctl net.ipv4.ip_unprivileged_port_start={port}; or name "
        "a port above 1023 under listen in {path}",
    ),
    "port.refused": Said(
        "failed",
        "The node cannot listen at port {port} as the configuration says: {reason}.",
        "Name an address of this machine under listen in {path}",
    ),
}
