"""``net export`` and ``net import``: nodes to start from, in a file, in a QR code, or typed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from gettext import gettext as _
from pathlib import Path
from typing import BinaryIO, Final

import click

from p2pchat.api.errors import ApiError
from p2pchat.api.language import marked
from p2pchat.cli.export import new_file
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.numbers import Whole
from p2pchat.cli.output import emit, line, note
from p2pchat.cli.qr import show_link
from p2pchat.cli.reading import counted, number, texts

_SCHEME: Final = "p2pchat:"
_FILE_BYTES: Final = 256 * 1024  # far more than 64 links with a comment each
_LINKS: Final = 64  # as many as the daemon takes at once
_NO_NODE: Final = marked("No other node was reached yet whose address means something to others.")
_NONE_BUT_LAN: Final = marked(
    "No other node was reached yet whose address means something to others; --lan tells of those on the local network."
)
_TRUST: Final = marked("Nobody has signed this: whoever wrote it chooses through whom you begin.")


@click.command()
@click.option("--nodes", "count", type=Whole(0, 64), metavar="N", help="How many at most (16).")
@click.option("--own", is_flag=True, help="This node as well, with its addresses.")
@click.option("--lan", is_flag=True, help="Addresses that work on the local network alone, too.")
@click.option("--qr", is_flag=True, help="Draw each link as a QR code.")
@click.argument("file", metavar="[FILE|-]", default="-")
@json_option
@pass_invocation
def export(invocation: Invocation, count: int | None, own: bool, lan: bool, qr: bool, file: str) -> None:
    """Write nodes for somebody who finds none into the new FILE, or to stdout, one link a line.

    They are nodes that this one has reached. Whoever reads the file learns that this node knows them, and with --own
    where it is.
    """
    if count == 0 and not own:
        raise ApiError("INVALID_PARAMS", "--nodes 0 leaves this node alone to be told of, and that is with --own.")
    reply = invocation.call("net.export", nodes=count, own=own or None, lan=lan or None)
    links = texts(reply, "links")
    if not links:
        raise ApiError("PEER_OFFLINE", _NO_NODE if lan else _NONE_BUT_LAN)
    if invocation.as_json:
        emit(reply)
        return
    if qr:
        for link in links:
            show_link(link)
    elif file == "-":
        for each in (_head(), *links):
            line(each)
    if file != "-":
        with new_file(file) as out:
            out.write("".join(f"{each}\n" for each in (_head(), *links)).encode())


def _head() -> str:
    return f"# p2pchat nodes, {time.strftime('%Y-%m-%d', time.gmtime())}"


@click.command(name="import")
@click.argument("sources", metavar="FILE|-|LINK…", nargs=-1, required=True)
@click.option("--idempotency-key", metavar="K", help="The same key imports once.")
@json_option
@pass_invocation
def import_(invocation: Invocation, sources: Sequence[str], idempotency_key: str | None) -> None:
    """Take nodes to start from out of a FILE, stdin (-), or links. Blank lines and those beginning with # do not count.

    One line that is no such link, and nothing is taken. A node that stands alone asks them at once.
    """
    found = [each for source in sources for each in _links(source)]
    if not found:
        raise ApiError("INVALID_PARAMS", "There is no link in it.")
    if len(found) > _LINKS:
        raise ApiError("INVALID_PARAMS", f"These are more than {_LINKS} links: import some of them.")
    try:
        taken = invocation.call("net.import", links=[link for link, _ in found], idempotency_key=idempotency_key)
    except ApiError as error:
        index = (error.data or {}).get("index")
        if not isinstance(index, int) or not 0 <= index < len(found):
            raise
        why, line_number = error.message.partition(": ")[2], found[index][1]
        if line_number is None:
            raise ApiError(error.error_name, f"The link {why}; nothing was taken.", error.data) from None
        raise ApiError(error.error_name, f"Line {line_number} {why}; nothing was taken.", error.data) from None
    if invocation.as_json:
        emit(taken)
    elif not invocation.quiet:
        nodes, new = counted(number(taken, "nodes"), "{} node", "{} nodes"), number(taken, "new")
        line(_("{nodes}, {count} of them new").format(nodes=nodes, count=new))
        note(_(_TRUST))


def _links(source: str) -> Iterator[tuple[str, int | None]]:
    """Each link, and the line of the file that it is in."""
    if source.strip().strip("<").lower().startswith(_SCHEME):
        yield source, None
        return
    for place, each in enumerate(_text(source).splitlines(), 1):
        if each.strip() and not each.lstrip().startswith("#"):
            yield each, place


def _text(source: str) -> str:
    try:
        if source == "-":
            data = _bounded(sys.stdin.buffer)
        else:
            with Path(source).open("rb") as file:
                data = _bounded(file)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ApiError("INVALID_PARAMS", f"The file cannot be read: {why}.") from None
    return data.decode("utf-8-sig", "replace")


def _bounded(file: BinaryIO) -> bytes:
    data = file.read(_FILE_BYTES + 1)
    if len(data) > _FILE_BYTES:
        raise ApiError("TOO_LARGE", "The file is too long for a list of nodes.")
    return data
