"""What the doctor says of the network around the node, and of its place in it."""

from __future__ import annotations

from typing import Final

from p2pchat.api.diagnosis.said import Said

TITLES: Final = {
    "device": "device",
    "addresses": "addresses",
    "nat": "router, firewall",
    "mapping": "port mapping",
    "bootstrap": "first nodes",
    "dht": "DHT neighbours",
    "relays": "relays",
    "mailboxes": "mailboxes",
    "test": "test message",
}

_LAN_ONLY: Final = "Not looked at: the configuration says that the node keeps to the local network (net.mode)."
_BEHIND_PROXY: Final = "Not looked at: connections leave through a proxy, and others see where that one is (net.proxy)."
_FORWARD: Final = "For direct ways forward TCP port {port} at the router, or switch on UPnP there."
_WHOSE: Final = "See whose: {program} mailbox list. Choose others: {program} mailbox use CONTACT, or --auto"

SAID: Final[dict[str, Said]] = {
    # the device
    "device.newest": Said("ok", "This is your newest device, as far as it knows."),
    "device.replaced": Said(
        "failed",
        "A newer device of yours has replaced this one, which neither sends nor receives any more.",
        "Use that one. Or make this one the newest: {program} backup create FILE, {program} wipe, "
        "{program} backup restore FILE",
    ),
    # addresses
    "addresses.global": Said("ok", "The node is at these addresses: {addresses}"),
    "addresses.private": Said("ok", "The node is at these addresses of the local network: {addresses}"),
    "addresses.loopback": Said(
        "warning",
        "The node listens on this machine alone: others can come to it through relays at most.",
        "If that is not meant to be: connect the machine to a network, or take listen out of the configuration.",
    ),
    "addresses.none": Said(
        "failed",
        "The node has no address: the machine is in no network.",
        "Connect it to a network; the node notices by itself.",
    ),
    "addresses.proxied": Said(
        "ok", "None is told to others: connections leave through a proxy, which hides where this node is (net.proxy)."
    ),
    # routers and firewalls
    "nat.public": Said("ok", "Others on the internet have confirmed that they reach this node."),
    "nat.open": Said(
        "ok", "No router changes the address of this node. Nobody has confirmed yet that it lets others in."
    ),
    "nat.firewall": Said(
        "warning",
        "The node has an address of the internet, but others do not get through: a firewall is in the way.",
        "Let TCP port {port} in, at the firewall of this machine and at the router's. Until then relays do.",
    ),
    "nat.same_port": Said(
        "ok",
        "A router is in between. It keeps one port for all destinations, so that direct connections come about as a "
        "rule. Nodes that told what they see: {observers}.",
    ),
    "nat.other_ports": Said(
        "warning",
        "A router is in between, and takes another port for each destination: with people who are behind a router, "
        "too, relays stay in between as a rule. Nodes that told what they see: {observers}.",
        "Nothing has to be done. " + _FORWARD,
    ),
    "nat.private": Said(
        "warning",
        "Others on the internet have tried to reach this node and could not.",
        "Nothing has to be done as long as relays lead here. " + _FORWARD,
    ),
    "nat.unknown": Said(
        "skipped",
        "Not known: of nodes on the internet, in different networks, fewer than two have told where they see this one.",
    ),
    "nat.lan_only": Said("skipped", _LAN_ONLY),
    "nat.proxied": Said("skipped", _BEHIND_PROXY),
    # the router's mapping
    "mapping.mapped": Said("ok", "The router leads others to this node: it has mapped a port."),
    "mapping.off": Said("skipped", "The router is not asked for a port: the configuration says so (nat.mapping)."),
    "mapping.lan_only": Said("skipped", _LAN_ONLY),
    "mapping.proxied": Said(
        "skipped", "The router is not asked for a port: that would go around the proxy (net.proxy)."
    ),
    "mapping.unneeded": Said("skipped", "There is no router that could be asked for a port."),
    "mapping.asking": Said("skipped", "The router is just being asked for a port: try again in a minute."),
    "mapping.refused": Said(
        "warning",
        "The router maps no port for this node, neither by NAT-PMP nor by UPnP.",
        "Nothing has to be done as long as relays lead here. " + _FORWARD,
    ),
    # the first nodes
    "bootstrap.connected": Said("ok", "Nodes that are connected: {peers}."),
    "bootstrap.known": Said(
        "ok", "Nodes that are connected: {peers}. One that was known from before, or that you named, answered first."
    ),
    "bootstrap.names": Said("ok", "Nodes that are connected: {peers}. One of a DNS name answered first."),
    "bootstrap.public_dht": Said(
        "ok", "Nodes that are connected: {peers}. One that was found in the public DHT answered first."
    ),
    "bootstrap.nobody_answers": Said(
        "failed",
        "No other node answers. Asked were: {known} known from before or by an invite, {named} that you named, and "
        "those of {names} DNS names.",
        "Is this machine on the internet, and does the firewall let p2pchat out? Otherwise name a node that runs: "
        "{program} net bootstrap ADDRESS, which its p2pchat net addrs prints; or add a contact by an invite.",
    ),
    "bootstrap.nobody_known": Said(
        "warning",
        "No other node is known, so that none was asked.",
        "Name one that runs: {program} net bootstrap ADDRESS, which its p2pchat net addrs prints; or add a contact by "
        "an invite. In the local network nodes find each other by themselves.",
    ),
    "bootstrap.proxy_unusable": Said(
        "failed",
        "The proxy lets no connection out: nobody answers there, or what answers is no SOCKS5 proxy or refuses this "
        "node (net.proxy).",
        "Look whether it is running, and whether net.proxy says where, and its password. Nothing goes around it; "
        "the node asks it again by itself.",
    ),
    "bootstrap.proxied_alone": Said(
        "warning",
        "No other node is known, so that none was asked.",
        "Name one that runs and that the proxy leads to: {program} net bootstrap ADDRESS, which its p2pchat net addrs "
        "prints; or add a contact by an invite. Behind a proxy nobody is found without.",
    ),
    "bootstrap.starting": Said("skipped", "The first nodes are just being asked: try again in a minute."),
    # the DHT
    "dht.ok": Said("ok", "Nodes of the DHT that answer: {peers}."),
    "dht.few": Said(
        "warning",
        "Nodes of the DHT that answer: {peers}. What is published with so few is gone when they end.",
        "Nothing has to be done: a node comes to know more with time, if there are more.",
    ),
    "dht.none": Said(
        "failed",
        "No node of the DHT answers: this node finds no contact that is new, and is found by none.",
        "See what is said of the first nodes.",
    ),
    # relays
    "relays.ok": Said("ok", "Relays that lead to this node: {relays}."),
    "relays.one": Said(
        "warning",
        "One relay leads to this node. If it ends, the node is out of reach until it has found another.",
        "Nothing has to be done: a second one is looked for all the time.",
    ),
    "relays.none": Said(
        "warning",
        "No relay leads to this node, and nobody has confirmed that it is reached without one: people outside of the "
        "local network may not be able to come to it.",
        "Relays are looked for all the time. " + _FORWARD,
    ),
    "relays.none_proxied": Said(
        "warning",
        "No relay leads to this node, and behind a proxy there is no other way to it: people can come to it only where "
        "it goes to them.",
        "Nothing has to be done: relays are looked for all the time.",
    ),
    "relays.unneeded": Said("ok", "None is needed: others reach this node directly."),
    "relays.off": Said("skipped", "None is used: the configuration says so (relay.use)."),
    "relays.alone": Said("skipped", "No node on the internet is connected that could be one."),
    "relays.lan_only": Said("skipped", _LAN_ONLY),
    # mailboxes
    "mailboxes.ok": Said("ok", "Mailboxes that hold what comes while you are away: {mailboxes}. All were heard of."),
    "mailboxes.failing": Said(
        "warning", "Of {mailboxes} mailboxes {failing} did not answer for 10 minutes or longer.", _WHOSE
    ),
    "mailboxes.all_failing": Said(
        "failed", "Not one of {mailboxes} mailboxes answers: what others have left there does not come.", _WHOSE
    ),
    "mailboxes.asked": Said(
        "warning",
        "Of {mailboxes} mailboxes {asked} are not granted yet.",
        "Their nodes may be away, and are asked again and again. " + _WHOSE,
    ),
    "mailboxes.none": Said(
        "skipped",
        "None is used: what others write while you are away waits at their nodes.",
        "Have a node that stays on hold it for you: {program} mailbox use CONTACT, or --auto",
    ),
    # the test message
    "test.relayed": Said(
        "ok", "A message to itself left this machine, came back through a relay, and was answered, in {ms} ms."
    ),
    "test.relay_failed": Said(
        "failed",
        "A message to itself did not come back through a relay: nobody else comes to this node there, either. Relays "
        "that were tried: {relays}.",
        "Try again in a minute: the node looks for other relays.",
    ),
    "test.dialled_back": Said(
        "ok", "Nodes on the internet were asked to come to this one, and did: {nodes} of {asked}."
    ),
    "test.not_dialled_back": Said(
        "failed",
        "Nodes on the internet were asked to come to this one, and could not: {asked} of {asked}.",
        "Something has changed at the firewall or the router. Let TCP port {port} in. The node looks for relays by "
        "itself.",
    ),
    "test.local_network": Said(
        "ok",
        "A message to itself came back within this machine. Nodes that are connected and came by themselves: "
        "{inbound}.",
    ),
    "test.this_machine": Said(
        "warning",
        "A message to itself came back, but within this machine: nobody is there who could try the way from outside.",
        "See what is said of first nodes and relays, if others are to come from outside.",
    ),
    "test.no_answer": Said(
        "failed",
        "The node does not answer at its own addresses, not even on this machine.",
        "Look whether the firewall of this machine is in the way. Otherwise restart the daemon: {program} stop, and "
        "then {program} daemon",
    ),
    "test.not_sent": Said("skipped", "Not sent, as you wished (--no-send)."),
    "test.proxied": Said(
        "skipped", "Not sent: it takes a second node on this machine, which would go around the proxy (net.proxy)."
    ),
    "test.denied": Said(
        "skipped", "Not sent: your rules keep strangers away, and the one that would bring it ({program} net rules)."
    ),
    "test.nowhere": Said("skipped", "Not sent: the node has no address to which it could go."),
}
