"""Implementation limits: what this node refuses to go beyond, with units.

Consensus constants, which both ends must share, are in :mod:`p2pchat.core.params`.
"""

from __future__ import annotations

from typing import Final

# streams and frames
STREAM_READ_BYTES: Final = 65_536
STREAM_OPEN_S: Final = 10.0
STREAMS_PER_PEER: Final = 8
WRITE_STALL_S: Final = 30.0
UNACKED_BYTES: Final = 192 * 1024  # below Yamux's 256 KB window: at a closed window it polls and then fails

# the control socket
OPEN_FILES: Final = 16_384  # asked of the system at the start; what it starts a process with is often 1,024
OPEN_FILES_KEPT: Final = 2_048  # of them for the network and the disk: inbound and outbound connections, handshakes
CONTROL_CONNECTIONS: Final = 4_096  # of the user's programs
CONTROL_IDLE_S: Final = 1.0  # after the last reply; from then on a connection that wants nothing makes room
CONTROL_UNFINISHED_BYTES: Final = 128 * 1024 * 1024  # of requests that are not complete, in all: eight of the longest
CONTROL_UNFINISHED_FREE_BYTES: Final = 16_384  # of one connection, however much others have begun
CONTROL_REPLIES_BYTES: Final = 8 * 1024 * 1024  # of one connection, made or not read: two pages

# the disk
DISK_RESERVE_BYTES: Final = 1 << 20  # given up when space ends: half for the write-ahead log, half to empty that

# work without use, as core/allowance.py counts it: microseconds of this node
FRUITLESS_BURST_US: Final = 100_000.0  # of one peer on message streams
FRUITLESS_US_PER_S: Final = 5_000.0  # half a percent of a core
ALLOWANCES: Final = 4_096  # peers whose allowance is remembered
MUX_BURST_US: Final = 500_000.0  # of one connection, for streams opened and control frames of Yamux
MUX_US_PER_S: Final = 10_000.0

TURN_LOOK_S: Final = 1.0  # between two looks whether who waits for its turn is still there

# requests that any stranger may make (DHT, identify, ping); whoever asks faster waits for the answer
REQUESTS_PEER_US: Final = 2_000_000.0  # of one peer, at once: some 2,000; a node that starts with a full book asks so
REQUESTS_PEER_US_PER_S: Final = 100_000.0
REQUESTS_PREFIX_US: Final = 4_000_000.0  # of one prefix, through one relay, and through all of them
REQUESTS_PREFIX_US_PER_S: Final = 200_000.0
REQUESTS_ALL_US: Final = 4_000_000.0  # of all: a third of a core at most is theirs for long
REQUESTS_ALL_US_PER_S: Final = 350_000.0

# messages of strangers, before anything of them is looked at; contacts have no part in this
STRANGERS_PREFIX_US: Final = 200_000.0  # of one prefix, as above: who can have one bundle can have many PeerIDs
STRANGERS_PREFIX_US_PER_S: Final = 20_000.0
STRANGERS_US: Final = 1_000_000.0  # of all together
STRANGERS_US_PER_S: Final = 100_000.0
STRANGERS_WAIT_S: Final = 5.0  # for which one is kept waiting; who would wait longer is refused, and asks again later
STRANGERS_WAITING: Final = 256  # of whom a frame is held meanwhile; beyond it the oldest of where most wait is refused

STRANGERS_UNFINISHED_BYTES: Final = 32 * 1024 * 1024  # of frames that are not complete, in all

# dialling
DIAL_STAGGER_S: Final = 0.2
DIAL_TOTAL_S: Final = 8.0
DIAL_RELAYED_AGAIN_S: Final = (1.0, 2.0, 4.0)  # after each refusal through a relay, while others are silent
ADDRESSES_PER_PEER: Final = 16
PUNCH_S: Final = 5.0  # for an attempt to meet half way, handshake included
PUNCH_KNOCK_S: Final = 2.5  # for one connection of it: two SYNs
PUNCH_SILENCE_S: Final = 1.5  # of who leads, once connected
PUNCH_PAUSE_S: Final = 0.3  # before the next connection
CONFIRM_S: Final = 8.0  # for one to reach a peer that asks whether it is reached
PROXY_S: Final = 5.0  # for a proxy to be reached and to agree to serve; below DIAL_TOTAL_S, so that the user is told
PROXY_LEADS_S: Final = 30.0  # for it to lead to a destination, where whoever dials waits for so long

# meeting half way, PROTOCOL.md 7.4
PUNCH_PORTS: Final = 2  # of one host, at which a peer has this node knock
PUNCHES: Final = 8  # joined at the same time
PUNCHES_PEER: Final = 6.0  # of one peer, as many at once
PUNCHES_PEER_PER_S: Final = 1.0 / 30
PUNCHES_OWN: Final = 12.0  # attempts of this node's own toward one peer: three series, however often it comes anew
PUNCHES_OWN_PER_S: Final = 1.0 / 15

KNOCK_S: Final = 10.0  # by the node that leads, at a contact that was met before
KNOCK_OFTEN: Final = ((120.0, 10.0), (720.0, 20.0))  # seconds since it began, and until then between two
KNOCK_RARELY_S: Final = 600.0  # from then on: less than all that, so that who has begun meets who began long ago
KNOCKS: Final = 128  # under way at the same time

# whether others are reached, PROTOCOL.md 7.3
AUTONAT_ADDRESSES: Final = 2  # that are dialled for one question
AUTONAT_DIALS: Final = 16  # questions whose asker is being dialled
AUTONAT_ANSWER_S: Final = 20.0
AUTONAT_PEER: Final = 6.0  # of one peer, as many at once
AUTONAT_PEER_PER_S: Final = 1.0 / 60
AUTONAT_PREFIX: Final = 24.0  # of one prefix
AUTONAT_PREFIX_PER_S: Final = 1.0 / 15
AUTONAT_ALL: Final = 120.0
AUTONAT_ALL_PER_S: Final = 2.0
AUTONAT_ASKED: Final = 8  # peers that this node asks in one round, each of another prefix
REACHED_S: Final = 3_600.0  # for which it counts that somebody has come from the internet
OPENED: Final = 4_096  # hosts that are remembered to which this node has connected from where it listens

# who may come near
RULES: Final = 1_000  # of the user's about contacts, peers and networks: all are read whenever one changes

# the event log
EVENT_CONSUMERS: Final = 64  # readers known by name: each can hold a week of events back
EVENTS_PAGE_BYTES: Final = 256 * 1024  # of texts that one subscription has read and not told yet

# the local network and changes of it, PROTOCOL.md 7.5 and 7.7
INTERFACES_POLL_S: Final = 2.0  # where the kernel does not tell of changes
SETTLE_S: Final = 0.5  # between a first sign of a change and a look at what it was
CHECK_S: Final = 3.0  # for a connection to show after a change that it is one still
LAN_NAME_S: Final = 3600.0  # for which a service has the same name
LAN_INTERFACES: Final = 8  # on which the node is announced
LAN_BIND_TRIES: Final = 3  # of an address that is not ready yet
LAN_BIND_PAUSE_S: Final = 1.0
LAN_HEARD: Final = 64.0  # names that are looked up at once, and how many more with time
LAN_HEARD_PER_S: Final = 1.0
LAN_LOOKUPS: Final = 8  # under way at the same time
LAN_LOOKUP_S: Final = 3.0
LAN_ADDRESSES: Final = 8  # of one service, and of an interface
LAN_SERVICES: Final = 64  # that are remembered
LAN_RECORDS: Final = 2_048  # of anybody's services, kept for longer than LAN_TRIM_S
LAN_TRIM_S: Final = 10.0
LAN_DIALS: Final = 4  # under way at the same time
LAN_DIALS_BURST: Final = 32.0
LAN_DIALS_PER_S: Final = 0.5
LAN_STOP_S: Final = 1.5  # for saying goodbye

# heartbeat, PROTOCOL.md 5
HEARTBEAT_S: Final = 15.0
SILENCE_S: Final = 30.0

# inbound connections
INBOUND_CONNECTIONS: Final = 512
INBOUND_PER_HOST: Final = 32  # of one public address (IPv6: /64)
INBOUND_PER_PREFIX: Final = 96  # of a /24 (IPv6: /48): whoever rents one has it whole
INBOUND_PER_BLOCK: Final = 256  # of a /16 (IPv6: /32): one provider's customers leave half to all others
INBOUND_HOUSE: Final = 384  # of all loopback and private addresses together
YIELDS_S: Final = 30.0  # without a stream; from then on a stranger makes room for whoever comes from the same address
HANDSHAKES: Final = 128  # inbound, under way; beyond it the oldest is given up for the newest
HANDSHAKE_S: Final = 10.0
HANDSHAKE_US: Final = 4_000.0  # of this node for one, and what a stranger has it do at once when it is in
HANDSHAKES_BURST_US: Final = 12_000.0  # 3 at once: while they run whatever else the node does waits
HANDSHAKES_US_PER_S: Final = 300_000.0  # of a core for strangers who come: 75 a second
OUTBOUND_IDLE: Final = 128  # connections of this node's making that carry no stream; beyond it the longest idle goes
RELAYED_CONNECTIONS: Final = 256  # inbound through relays, on top of those
RELAYED_PER_RELAY: Final = 128
RELAYED_HANDSHAKES: Final = 32
RELAYS_DIALLED: Final = 128  # to reach others through them; beyond it the connection to the oldest is closed
CUT_OFF_S: Final = 0.25  # by which each that was cut off delays the next handshakes of its origin
CUT_OFF_MOST_S: Final = 5.0
CONNECTIONS_PER_PEER: Final = 4  # beyond it the oldest is closed
SURPLUS_S: Final = 10.0  # that a second connection to a peer may carry no stream
SURPLUS_CHECK_S: Final = 2.5
STREAMS_PER_CONNECTION: Final = 64  # inbound, in negotiation or served
BUFFERED_PER_CONNECTION_BYTES: Final = 2 * 1024 * 1024  # received and not yet read, all streams together
BUFFERED_OF_STRANGERS_BYTES: Final = 64 * 1024 * 1024  # of all such peers, beyond the next for each of them
BUFFERED_FREE_BYTES: Final = 65_536
BUFFERED_OF_STRANGER_BYTES: Final = 768 * 1024  # three windows, where the peer is nobody whom this node wants
WS_HEAD_BYTES: Final = 8_192  # of HTTP, before a WebSocket
WS_BURST_US: Final = 10_000.0  # of one connection, for pings and frames of a few bytes: a hundred pings
WS_US_PER_S: Final = 5_000.0
FRAME_GRACE_S: Final = 1.0  # for the rest of a frame whose writer was cancelled; then the connection goes
CLOSE_S: Final = 1.0
LINGER_S: Final = 10.0  # for the remote's end after ours
NEGOTIATION_BYTES: Final = 1024
IDENTIFY_BYTES: Final = 16 * 1024
PROTOCOLS_PER_PEER: Final = 128
PROTOCOL_ID_CHARS: Final = 128

# DHT
PEERS_REMEMBERED: Final = 4_096
PEERS_CACHED: Final = 256  # handed to the daemon for the next start
CACHED_PER_PREFIX: Final = 4  # of one /24 or /48 among them
EXPORTED_PER_PREFIX: Final = 2  # of those that are handed over
WALKS: Final = 32  # under way at the same time
PEERS_ASKED: Final = 150  # in one walk
CLIENT_STREAMS: Final = 256  # of one protocol; beyond it the least recently used is closed
IDENTIFIES: Final = 16  # under way at the same time
IDENTIFIES_WAITING: Final = 128  # beyond it a stranger is met another time
WATCHES_PER_WALK: Final = 4
WATCHES_PER_SLOT: Final = 64
WATCHES: Final = 2_000
PUSHES_QUEUED: Final = 64  # for one watcher; beyond it its watches are dropped
REFRESH_AFTER_S: Final = 3_600.0  # of a bucket that no walk has touched
REFRESH_CHECK_S: Final = 60.0
WARM_PEERS: Final = 40  # the closest storers: their connections are kept up
CENSUS_BUCKETS: Final = 2  # refreshes of deeper ones stay around the own PeerID, which an attacker knows

# the first peers, PROTOCOL.md 7.6
BOOTSTRAP_WAVE: Final = 16  # cached peers that are asked at the same time
BOOTSTRAP_WAVES: Final = 4  # of one attempt
BOOTSTRAP_GRACE_S: Final = 1.0  # for the others once one has answered
DNS_S: Final = 5.0  # for one name
DNS_TEXTS: Final = 32  # of one name that are read
DNS_NAMES: Final = 16  # that one name leads to
DNS_DEPTH: Final = 3
DNS_NODES: Final = 32  # that are told of by all names of one attempt
ALONE_S: Final = 10.0  # before strangers of the public DHT are asked
PUBLIC_ASKED: Final = 100  # peers of it in one walk; each is dialled for that
PUBLIC_TOTAL_S: Final = 60.0
PUBLIC_SLOW_S: Final = 3.0  # from then on an answer is not waited for before the next is asked
PUBLIC_HARD_S: Final = 12.0
PUBLIC_REPLY_BYTES: Final = 262_144  # of a reply that are read
PUBLIC_TOTAL_BYTES: Final = 8 * 1024 * 1024  # of all replies of a walk
PUBLIC_PROVIDERS: Final = 1_024  # that are kept of all replies of a walk
PUBLIC_MET: Final = 16  # of them that are dialled
PUBLIC_PER_PREFIX: Final = 2  # of one /24 or /48 among those

# bundles given out: nobody may fill the store by asking
PREKEYS_PER_PEER: Final = 8
PREKEYS: Final = 1024

LIVE_S: Final = 30.0  # for a message that goes on a live stream or not at all to be confirmed

CONTACTS: Final = 20_000  # as many as one reply can list; only an import comes near it

# what one contact may make this node keep
SESSIONS_PER_CONTACT: Final = 16
CLAIMANTS_PER_CONTACT: Final = 16
NODES_PER_CONTACT: Final = 8
GAPS_PER_CONTACT: Final = 64
PLACES_PER_GAP: Final = 1024  # that are kept for texts which are missing

# mailboxes, PROTOCOL.md 6
UNFINISHED_S: Final = 30.0  # for a frame that has begun, where strangers may begin one
UNFINISHED_LARGE_BYTES: Final = 65_536
UNFINISHED_LARGE: Final = 2  # streams of one peer on which more than that is unfinished
MAILBOX_ANSWER_S: Final = 20.0  # for an answer, which may be a megabyte
MAILBOX_IDLE_S: Final = 600.0  # of a stream on which nothing is asked
MAILBOX_LOOK_S: Final = 10.0  # between two looks whether an owner who waits for boxes is still there
MAILBOX_UNFINISHED_BYTES: Final = 64 * 1024 * 1024  # of requests that are not complete, in all
MAILBOX_OWNERS: Final = 4_096
MAILBOX_OWNER_BYTES: Final = 64 * 1024 * 1024
MAILBOX_PREFIX_BYTES: Final = 16 * 1024 * 1024  # in one mailbox, from one prefix
MAILBOX_PREFIX_TOTAL_BYTES: Final = 256 * 1024 * 1024  # in all, from one prefix
MAILBOX_SINGLE_BYTES: Final = 32 * 1024 * 1024  # in one mailbox, from all who count singly
MAILBOX_SINGLE_TOTAL_BYTES: Final = 512 * 1024 * 1024  # in all, from them
MAILBOX_TOTAL_BYTES: Final = 1024 * 1024 * 1024  # unless the user gives another
MAILBOX_BURST_US: Final = 3_000_000.0  # of one peer's requests: enough to empty a full mailbox
MAILBOX_US_PER_S: Final = 20_000.0
MAILBOX_PATIENCE: Final = 64.0  # requests beyond that before the connection goes
MAILBOX_PATIENCE_PER_S: Final = 0.1
MAILBOX_GRANTS: Final = 4.0  # new mailboxes of one PeerID, and four times as many of one prefix
MAILBOX_GRANTS_PER_S: Final = 4.0 / 86_400
OWN_PRESENCES: Final = 4  # published at once; a clock that goes to and fro makes one each time
OWN_MAILBOXES: Final = 2  # as many as a presence tells of
OWN_MAILBOXES_ENDING: Final = 8  # given up, and emptied for a while
MAILBOX_FAILING_S: Final = 600  # of silence, which a restart of a holder's node does not take: it is said of it
MAILBOX_GONE_S: Final = 12 * 3600  # for which a holder has been silent that is looked upon as gone
MAILBOX_USELESS_BYTES: Final = 64 * 1024 * 1024  # that are fetched from one holder within a day
MAILBOX_KEYS: Final = 8  # of which boxes may still be sealed for: four of three weeks, and those of partings
MAILBOXES_LEFT: Final = 64  # holders that knew an earlier node key
REUSABLE_BUNDLES: Final = 128  # at mailboxes, one a day and with each parting; 22 days of them

# relays, PROTOCOL.md 7.2: what offering one costs at most
RELAY_RESERVATIONS: Final = 128
RELAY_RESERVATIONS_PER_PREFIX: Final = 16
RELAY_RESERVATION_S: Final = 3_600
RELAY_CIRCUITS: Final = 64  # each holds two windows of Yamux at most
RELAY_CIRCUITS_TO: Final = 16  # one reserver
RELAY_CIRCUITS_FROM: Final = 16  # one prefix
RELAY_CIRCUIT_S: Final = 3_600
RELAY_CIRCUIT_BYTES: Final = 16 * 1024 * 1024  # in each direction
RELAY_IDLE_S: Final = 120.0  # of a circuit on which nothing goes in either direction
RELAY_CHUNK_BYTES: Final = 16_384
RELAY_BYTES_PER_S: Final = 512 * 1024  # all circuits together, both directions
RELAY_BURST_S: Final = 2.0  # of that, saved up
RELAY_CONNECT_S: Final = 5.0  # for a reserver to take a circuit
RELAY_ASKS: Final = 64.0  # of one prefix
RELAY_ASKS_PER_S: Final = 1.0
OWN_RELAYS: Final = 2  # as many circuits as a presence tells of
RELAY_HOPE_S: Final = 30.0  # for which a node with a global address waits to be told that it is reached
RELAY_TOGETHER_S: Final = 0.25  # who comes or goes within this time is looked at together
RELAY_LOOK_S: Final = 300.0  # where there is nothing to do and nobody has told of anything
RELAY_CHECK_S: Final = 5.0
RELAYS_TRIED: Final = 8  # at the same time
RELAYS_REMEMBERED: Final = 1_024  # that were tried to no avail
RELAY_PATIENCE_S: Final = 300.0  # with a relay through which nobody has come; doubles with each that is doubted
RELAY_PATIENCE_MAX_S: Final = 4 * 3_600.0
RELAY_RETRY_S: Final = 60.0  # before such a one, or one that was lost at once, is tried again; doubles
RELAY_LOST_S: Final = 5.0  # before one that has served is tried again at first
RELAY_RETRY_MAX_S: Final = 3_600.0

INVITES: Final = 100  # open at the same time
REQUESTS_PER_INVITE: Final = 16  # that wait for an answer: whoever has the link can make as many roots as they like

# what the doctor calls too little, or too slow
DISK_FULL_BYTES: Final = 4 * 1024 * 1024  # a write-ahead log may have so much before it is emptied
DISK_LOW_BYTES: Final = 256 * 1024 * 1024
DISK_SLOW_S: Final = 1.0
MEMORY_LOW_BYTES: Final = 320 * 1024 * 1024  # Argon2id takes 256 MiB
DATABASE_CHECK_S: Final = 10.0  # of a database that is in use
DOCTOR_OBSERVERS: Final = 3  # nodes that are asked where they see this one, or to come to it
DOCTOR_STEP_S: Final = 10.0  # of each part that asks others
DHT_FEW: Final = 3
