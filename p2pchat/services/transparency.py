"""What a seizure of this machine reveals, in words. They are to be true: whoever changes what is stored reads them."""

from __future__ import annotations

from typing import Final

from p2pchat.api.language import marked

_SEALED: Final = marked(
    "Without the passphrase, and while the node is locked or off: that there is a profile and its name, the sizes and "
    "times of its files (a database grows with what is held for others), the configuration file with the addresses in "
    "it, and the log, which holds no text, name, number or whole address. Not readable: messages, contacts, keys, "
    "boxes, records. Each guess of the passphrase takes half a second and 256 MiB."
)
_OPEN: Final = marked(
    "This profile has no passphrase: whoever has the disk has the key, and reads all that is said here of a machine "
    "with the passphrase. Set one with: p2pchat passphrase"
)
_UNSEALED: Final = marked(
    "With the passphrase, or where the node runs unlocked: your own name, number, keys, contacts, their "
    "addresses, your messages, and which nodes hold mailboxes or boxes of yours. Of what is held for others: of "
    "each mailbox a key that was made for it alone, hashes of its tokens, an encrypted bundle, and to the hour "
    "when its owner was last there; of each box its size, the second at which it came and the one until which it "
    "is kept. No box can be opened here, with whatever key this machine has: it is sealed for its owner. Neither "
    "who owns a mailbox nor who left a box is stored, and no address from which one came. How many boxes were "
    "deleted on which of the last 30 days, and why, is stored; the boxes themselves are overwritten, as far as "
    "the disk does overwrite. Of the records of the DHT that are kept for others: their bytes, in which nobody's "
    "number, name or address can be read here, and the network of whoever put them, which is the first 24 bits of "
    "an IPv4 address, 48 of an IPv6 one, or the peer ID where there was no public address. Besides, the nodes "
    "that this one knows, with their addresses. The memory of a node that runs also has who is connected now, and "
    "from which network each box came since the start."
)


def locked_reveals(*, passphrase: bool) -> str:
    """What is revealed to who does not know the passphrase; ``passphrase``: whether there is one."""
    return _SEALED if passphrase else _OPEN


def unlocked_reveals() -> str:
    """What is revealed to who knows it, or needs none."""
    return _UNSEALED
