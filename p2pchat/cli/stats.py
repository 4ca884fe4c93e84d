"""``stats``: what goes on in the node."""

from __future__ import annotations

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
        raise click.UsageError("--prometheus and --json exclude each other.")
    shown = invocation.call("stats.get")
    if prometheus:
        for each in exposition(shown):
            drawing(each)
        return
    if invocation.as_json:
        emit(shown)
        return
    connections, commits = fields(shown, "connections"), fields(shown, "commit_ms")
    rows = [
        ["running for", duration(number(shown, "uptime_s"))],
        ["peers", text(shown, "peers")],
        *([f"connections {name}", text(connections, name)] for name in connections),
        ["handshakes under way", text(shown, "handshakes")],
        *([f"streams {name}", text(fields(shown, "streams"), name)] for name in sorted(fields(shown, "streams"))),
        ["messages not delivered", text(shown, "outbox")],
        ["records kept for others", text(shown, "records")],
        ["boxes held for others", f"{text(shown, 'mailbox_boxes')}, {size_text(number(shown, 'mailbox_bytes'))}"],
        ["strangers' unfinished frames", size_text(number(shown, "unfinished_bytes"))],
        ["memory", size_text(number(shown, "rss_bytes")) if shown.get("rss_bytes") is not None else "–"],
        ["database", f"{size_text(number(shown, 'db_bytes'))}, log {size_text(number(shown, 'wal_bytes'))}"],
        ["commits", f"{text(shown, 'commits')}, {text(shown, 'commits_failed')} failed"],
        ["a commit takes", ", ".join(f"{name} {text(commits, name)} ms" for name in commits)],
    ]
    refused = fields(shown, "refusals")
    rows += [[f"refused {name}", text(refused, name)] for name in refused if number(refused, name)]
    table(rows)
