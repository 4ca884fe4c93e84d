"""``stats``: what goes on in the node."""

from __future__ import annotations

from gettext import gettext as _

import click

from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import drawing, emit, table
from p2pchat.cli.prometheus import exposition
from p2pchat.cli.reading import duration, fields, number, size_text, text


@click.command()
@click.option("--prometheus", is_flag=True, help="Print the text that Prometheus reads.")
@json_option
@pass_invocation
def stats(invocation: Invocation, prometheus: bool) -> None:
    """Show what goes on in the node: connections, what strangers were refused, memory and disk.

    What was never refused is left out, but not with --json.
    """
    if prometheus and invocation.as_json:
        raise click.UsageError(_("{one} and {other} exclude each other.").format(one="--prometheus", other="--json"))
    shown = invocation.call("stats.get")
    if prometheus:
        for each in exposition(shown):
            drawing(each)
        return
    if invocation.as_json:
        emit(shown)
        return
    connections, commits = fields(shown, "connections"), fields(shown, "commit_ms")
    log, failed = size_text(number(shown, "wal_bytes")), text(shown, "commits_failed")
    rows = [
        [_("running for"), duration(number(shown, "uptime_s"))],
        [_("peers"), text(shown, "peers")],
        *([_("connections {kind}").format(kind=name), text(connections, name)] for name in connections),
        [_("handshakes under way"), text(shown, "handshakes")],
        *(
            [_("streams {kind}").format(kind=name), text(fields(shown, "streams"), name)]
            for name in sorted(fields(shown, "streams"))
        ),
        [_("messages not delivered"), text(shown, "outbox")],
        [_("records kept for others"), text(shown, "records")],
        [_("boxes held for others"), f"{text(shown, 'mailbox_boxes')}, {size_text(number(shown, 'mailbox_bytes'))}"],
        [_("strangers' unfinished frames"), size_text(number(shown, "unfinished_bytes"))],
        [_("tasks"), text(shown, "tasks")],
        [_("memory"), size_text(number(shown, "rss_bytes")) if shown.get("rss_bytes") is not None else "–"],
        [_("database"), _("{size}, log {log}").format(size=size_text(number(shown, "db_bytes")), log=log)],
        [_("commits"), _("{count}, {failed} failed").format(count=text(shown, "commits"), failed=failed)],
        [_("a commit takes"), ", ".join(f"{name} {text(commits, name)} ms" for name in commits)],
    ]
    refused = fields(shown, "refusals")
    rows += [[_("refused {kind}").format(kind=name), text(refused, name)] for name in refused if number(refused, name)]
    table(rows)
