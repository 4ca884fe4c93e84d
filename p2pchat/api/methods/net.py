"""``net.*`` and ``mailbox.*``: the nodes around this one, and those that hold messages."""

from __future__ import annotations

from typing import Final

from p2pchat.api import calls, handover, mailbox_objects, net_calls, objects
from p2pchat.api.methods.spec import UNNAMED, MethodSpec

MAILBOX: Final = {
    "mailbox.use": MethodSpec(
        calls.MailboxUse,
        mailbox_objects.Mailboxes,
        True,
        "Has nodes hold what comes while this one is away, instead of those until now; replies when they have granted "
        "it and the presence tells contacts so.",
        errors=(*UNNAMED, "BLOCKED", "PEER_OFFLINE", "TIMEOUT"),
    ),
    "mailbox.list": MethodSpec(
        calls.NoParams, mailbox_objects.Mailboxes, False, "Lists the nodes that hold messages for this one."
    ),
    "mailbox.offer": MethodSpec(
        calls.MailboxOffer,
        mailbox_objects.MailboxOffer,
        True,
        "Says for whom this node holds mailboxes and how many bytes at most; what is left out stays, so that without "
        "both it only shows. At first nobody, and 1,073,741,824 bytes. In effect when it replies. With `nobody` no "
        "mailbox is granted and no box taken any more; what is held stays until it was fetched or has expired, and so "
        "it does where the quota is less than that.",
    ),
    "mailbox.transparency": MethodSpec(
        calls.NoParams,
        mailbox_objects.Transparency,
        False,
        "Shows what this node holds for others, and what a seizure of this machine would reveal, in words.",
    ),
}

NET: Final = {
    "net.peers": MethodSpec(calls.NoParams, objects.Peers, False, "Lists the nodes that this one is connected to."),
    "net.addrs": MethodSpec(
        calls.NoParams, objects.Addresses, False, "Lists the addresses at which others can reach this node."
    ),
    "net.dial": MethodSpec(
        net_calls.NetDial,
        objects.Peer,
        False,
        "Connects to a node, or uses the connection that is there.",
        errors=("PEER_OFFLINE", "FORBIDDEN"),
    ),
    "net.bootstrap": MethodSpec(
        net_calls.NetDial,
        objects.Peer,
        False,
        "Connects to a node and joins the DHT through it.",
        errors=("PEER_OFFLINE", "FORBIDDEN"),
    ),
    "net.export": MethodSpec(
        handover.NetExport,
        handover.NodeLinks,
        False,
        "Writes links of nodes that this one has reached, for somebody who finds none.",
    ),
    "net.import": MethodSpec(
        handover.NetImport, handover.NodesTaken, True, "Takes nodes to start from out of such links."
    ),
    "net.allow": MethodSpec(
        net_calls.NetRule,
        objects.Rule,
        True,
        "Lets a contact, a node or a network come near, in place of what was said of it. In effect when it replies.",
        errors=UNNAMED,
    ),
    "net.deny": MethodSpec(
        net_calls.NetRule,
        objects.Rule,
        True,
        "Keeps a contact, a node or a network away; connections that the rule forbids are closed when it replies.",
        errors=UNNAMED,
    ),
    "net.forget": MethodSpec(
        net_calls.NetRule,
        objects.Rule,
        True,
        "Takes back what was said of a contact, a node or a network; replies with the rule that there was. "
        "INVALID_PARAMS where there is none.",
        errors=UNNAMED,
    ),
    "net.rules": MethodSpec(calls.NoParams, objects.Rules, False, "Lists the rules about who may come near."),
}
