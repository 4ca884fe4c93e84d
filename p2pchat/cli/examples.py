"""Examples of every command, for ``--help`` and the manual page: lines that can be typed as they are.

They stand together, so that the same people and places run through all of them.
"""

from __future__ import annotations

from gettext import gettext as _
from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "": (
        "p2pchat init",
        "p2pchat daemon",
        "p2pchat contacts add +821098765432 --name Bob",
        "p2pchat send Bob 'See you at eight'",
        "p2pchat chat Bob",
    ),
    "init": (
        "p2pchat init",
        "p2pchat init --number +821012345678 --name Alice --passphrase-file passphrase.txt",
        "p2pchat --profile router init --no-number --name router --no-passphrase",
    ),
    "daemon": (
        "p2pchat daemon",
        "p2pchat daemon --listen /ip4/0.0.0.0/tcp/4001 --log-level warning",
        "p2pchat daemon --locked",
    ),
    "status": ("p2pchat status", "p2pchat status --json | jq .peers"),
    "doctor": (
        "p2pchat doctor",
        "p2pchat doctor --fix",
        "p2pchat doctor --json | jq -r 'select(.state == \"failed\") | .code'",
    ),
    "stop": ("p2pchat stop",),
    "lock": ("p2pchat lock",),
    "unlock": ("p2pchat unlock", "p2pchat unlock --passphrase-file passphrase.txt"),
    "passphrase": (
        "p2pchat passphrase",
        "p2pchat passphrase --passphrase-file old.txt --new-passphrase-file new.txt",
    ),
    "wipe": ("p2pchat --profile trial wipe", "p2pchat --profile trial wipe --yes"),
    "id show": ("p2pchat id show", "p2pchat id show --json | jq -r .root"),
    "id qr": ("p2pchat id qr", "p2pchat id qr --png me.png"),
    "id invite": (
        "p2pchat id invite",
        "p2pchat id invite --uses 5 --expires 12h --ask",
        "p2pchat id invite --json | jq -r .invite",
    ),
    "id invites": ("p2pchat id invites",),
    "id revoke": ("p2pchat id revoke 3f2a9c1e",),
    "id receipts": ("p2pchat id receipts off",),
    "contacts add": (
        "p2pchat contacts add +821098765432 --name Bob",
        "p2pchat contacts add p2pchat:EXAMPLE --name Carol",
    ),
    "contacts import": (
        "p2pchat contacts import contacts.vcf",
        "p2pchat contacts import contacts.csv --find Bob --find Carol",
        "p2pchat contacts import - --find all <contacts.vcf",
    ),
    "contacts export": ("p2pchat contacts export contacts.vcf",),
    "contacts find": ("p2pchat contacts find Bob Carol", "p2pchat contacts find all"),
    "contacts list": (
        "p2pchat contacts list",
        "p2pchat contacts list --state pending",
        "p2pchat contacts list --json | jq -r 'select(.online) | .name'",
    ),
    "contacts show": ("p2pchat contacts show Bob", "p2pchat contacts show +821098765432"),
    "contacts accept": ("p2pchat contacts accept Dave",),
    "contacts refuse": ("p2pchat contacts refuse Dave",),
    "contacts choose": ("p2pchat contacts choose Bob 9b1deb4d3b7d4bad",),
    "contacts merge": ("p2pchat contacts merge Robert Bob",),
    "contacts rename": ("p2pchat contacts rename Bob 'Bob (work)'",),
    "contacts remove": ("p2pchat contacts remove Bob",),
    "contacts block": ("p2pchat contacts block Mallory",),
    "contacts unblock": ("p2pchat contacts unblock Mallory",),
    "contacts receipts": ("p2pchat contacts receipts Bob off", "p2pchat contacts receipts Bob default"),
    "contacts verify": (
        "p2pchat contacts verify Bob",
        "p2pchat contacts verify Bob --png code.png",
        "p2pchat contacts verify Bob --scanned p2pchat:EXAMPLE",
    ),
    "contacts sms-proof": (
        "p2pchat contacts sms-proof Bob --wait",
        "p2pchat contacts sms-proof Alice ABCD-EFGH-JKLM-NPQR",
    ),
    "send": (
        "p2pchat send Bob 'See you at eight'",
        "p2pchat send Bob - <report.txt",
        "p2pchat send Bob ping --wait delivered --timeout 10",
        "p2pchat send self 'Milk, bread'",
    ),
    "listen": (
        "p2pchat listen",
        "p2pchat listen --since 0 --json | jq -r 'select(.type == \"message.received\") | .data.text'",
        "p2pchat listen --consumer bot --types message.received --exec ./on-event",
    ),
    "chat": ("p2pchat chat Bob",),
    "history": (
        "p2pchat history Bob",
        "p2pchat history Bob --since 12h --limit 200",
        "p2pchat history Bob --json | jq -r .text",
    ),
    "search": ("p2pchat search 'train ticket'", "p2pchat search eight --to Bob"),
    "read": ("p2pchat read Bob",),
    "explain": ("p2pchat explain 0c5e2f8a9b1d4c3e8f7a6b5c4d3e2f10",),
    "cancel": ("p2pchat cancel 0c5e2f8a9b1d4c3e8f7a6b5c4d3e2f10",),
    "delete": ("p2pchat delete 0c5e2f8a9b1d4c3e8f7a6b5c4d3e2f10",),
    "mailbox offer": (
        "p2pchat mailbox offer",
        "p2pchat mailbox offer --for contacts --quota 2G",
        "p2pchat mailbox offer --for nobody",
    ),
    "mailbox use": (
        "p2pchat mailbox use Carol",
        "p2pchat mailbox use Carol p2pchat:EXAMPLE",
        "p2pchat mailbox use --auto",
    ),
    "mailbox list": ("p2pchat mailbox list",),
    "transparency": ("p2pchat transparency",),
    "backup create": ("p2pchat backup create p2pchat-2026-11-23.backup",),
    "backup restore": (
        "p2pchat backup restore p2pchat-2026-11-23.backup",
        "p2pchat --profile trial backup restore p2pchat-2026-11-23.backup",
    ),
    "backup verify": (
        "p2pchat backup verify p2pchat-2026-11-23.backup",
        "ssh HOST cat backup | p2pchat backup verify - --passphrase-file passphrase.txt",
    ),
    "export": ("p2pchat export everything.jsonl", "p2pchat export - | gzip >everything.jsonl.gz"),
    "net peers": ("p2pchat net peers", "p2pchat net peers --json | jq -r .path | sort | uniq -c"),
    "net addrs": ("p2pchat net addrs",),
    "net dial": ("p2pchat net dial /ip4/192.0.2.1/tcp/4001/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",),
    "net bootstrap": ("p2pchat net bootstrap /dnsaddr/example.org",),
    "net allow": ("p2pchat net allow Bob", "p2pchat net allow 192.168.0.0/16"),
    "net deny": ("p2pchat net deny 192.0.2.0/24", "p2pchat net deny 2001:db8::1", "p2pchat net deny Mallory"),
    "net forget": ("p2pchat net forget 192.0.2.0/24", "p2pchat net forget Mallory"),
    "net rules": ("p2pchat net rules", "p2pchat net rules --json | jq -r 'select(.allow | not) | .what'"),
    "net export": (
        "p2pchat net export nodes.txt",
        "p2pchat net export --own --nodes 0 --qr",
        "p2pchat net export --lan - | ssh HOST p2pchat net import -",
    ),
    "net import": ("p2pchat net import nodes.txt", "p2pchat net import p2pchat:EXAMPLE"),
    "config get": ("p2pchat config get", "p2pchat config get log.level"),
    "config set": (
        "p2pchat config set log.level debug",
        "p2pchat config set listen /ip4/0.0.0.0/tcp/4001 /ip6/::/tcp/4001",
        "p2pchat config set --unset log.level",
    ),
    "stats": ("p2pchat stats", "p2pchat stats --json | jq .refusals", "p2pchat stats --prometheus"),
    "rpc": (
        "p2pchat rpc node.status",
        'p2pchat rpc message.list \'{"to": "Bob", "limit": 1}\' | jq .messages',
    ),
    "demo": ("p2pchat demo",),
    "completion": (
        'eval "$(p2pchat completion bash)"',
        "p2pchat completion zsh >~/.zfunc/_p2pchat",
        "p2pchat completion fish >~/.config/fish/completions/p2pchat.fish",
    ),
    "help": ("p2pchat help send", "p2pchat help contacts add"),
}
"""Behind the words of a command, those of the group it is in included; behind none: what begins with p2pchat."""


def epilog(path: str) -> str | None:
    """What stands below the help of the command ``path``, one example a line."""
    lines = EXAMPLES.get(path)
    return None if lines is None else "\n".join(("\b", _("Examples:"), *(f"  {line}" for line in lines)))
