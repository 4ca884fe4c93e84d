"""``contacts``: the people this profile writes to."""

from __future__ import annotations

from collections.abc import Mapping
from gettext import gettext as _
from typing import Final

import click

from p2pchat.cli.book import find, import_
from p2pchat.cli.cards import export
from p2pchat.cli.colour import Colour, of_state
from p2pchat.cli.invocation import Invocation, json_option, pass_invocation
from p2pchat.cli.output import Cell, cells, emit, line, note, table
from p2pchat.cli.reading import clock, number, objects, text
from p2pchat.cli.receipts import receipts_of
from p2pchat.cli.verify import sms_proof, verify

_CUT: Final = (0,)


@click.group()
@json_option
def contacts() -> None:
    """The people you write to."""


contacts.add_command(import_)
contacts.add_command(find)
contacts.add_command(export)


@contacts.command()
@click.argument("who", metavar="NUMBER|INVITE")
@click.option("--name", metavar="NAME", help="What you call them.")
@click.option("--idempotency-key", metavar="K", help="The same key adds once.")
@json_option
@pass_invocation
def add(invocation: Invocation, who: str, name: str | None, idempotency_key: str | None) -> None:
    """Add a person by phone number, or by the link that they gave you.

    By number you find each other when both of you have added the other and both nodes run. From then on whoever knows
    both numbers can learn that you looked for each other.
    """
    by = "invite" if who.strip().lstrip("<").lower().startswith("p2pchat:") else "number"
    added = invocation.call("contacts.add", **{by: who}, name=name, idempotency_key=idempotency_key)
    if invocation.as_json:
        emit(added)
        return
    _print(added)
    if added.get("state") == "pending" and not invocation.quiet:
        if by == "number":
            note(_("You find each other when they have added your number too."))
        else:
            note(_("You are matched as soon as both nodes run, if the invite is still good."))


@contacts.command(name="list")
@click.option("--state", type=click.Choice(["pending", "matched", "request", "blocked"]), help="These alone.")
@json_option
@pass_invocation
def list_(invocation: Invocation, state: str | None) -> None:
    """List all contacts."""
    found = objects(invocation.call("contacts.list", state=state), "contacts")
    if invocation.as_json:
        for contact in found:
            emit(contact)
        return
    head = (_("NAME"), _("NUMBER"), _("STATE"), _("TRUST"), _("ID"), "")
    table([_row(contact) for contact in found], head, cut=() if invocation.verbose else _CUT)
    if not found and not invocation.quiet:
        note(_("There is no contact yet.") if state is None else _("No contact is in that state."))


@contacts.command()
@click.argument("to", metavar="TO")
@json_option
@pass_invocation
def show(invocation: Invocation, to: str) -> None:
    """Show one contact. TO is a name, a number or the beginning of an id."""
    contact = invocation.call("contacts.get", to=to)
    if invocation.as_json:
        emit(contact)
        return
    _print(contact)
    if contact.get("self") is True:
        return  # there is nothing more to say of oneself
    line(_("claimed by {count}").format(count=text(contact, "claimants")))
    _print_claims(invocation, text(contact, "id"))
    if contact.get("state") == "pending" and not contact.get("searching"):
        said = _("not looked for: p2pchat contacts find {contact}")
        line(said.format(contact=text(contact, "id")), Colour.WAITING)
    if contact.get("receipts") is not None:
        line(_("read receipts {state}").format(state="on" if contact.get("receipts") else "off"))
    if contact.get("online"):
        line(_("online"))
    else:
        line(_("last seen {time}").format(time=clock(contact.get("last_seen_ms"))))


def _print_claims(invocation: Invocation, contact: str) -> None:
    """Who says that they are the contact, and what can be done about it."""
    claims = invocation.call("contacts.claimants", to=contact)
    claimants = objects(claims, "claimants")
    for claimant in claimants:
        said = _("claimant {id}  since {time}  chosen") if claimant.get("chosen") else _("claimant {id}  since {time}")
        line(said.format(id=text(claimant, "id"), time=clock(claimant.get("first_seen_ms"))))
        if claimant.get("contact_id") is not None:
            other = invocation.call("contacts.get", to=text(claimant, "contact_id"))
            said = _("that is {name}: p2pchat contacts merge {other} {contact}")
            line(said.format(name=text(other, "name"), other=text(other, "id"), contact=contact))
    waiting = number(claims, "waiting")
    if claimants and waiting:  # the one hello may be the contact's own, which has not come back yet
        said = _("held up by {count} who said hello and showed no card: p2pchat contacts choose {contact}")
        line(said.format(count=waiting, contact=contact), Colour.WAITING)


@contacts.command()
@click.argument("to", metavar="TO")
@click.argument("claimant", required=False)
@click.option("--idempotency-key", metavar="K", help="The same key chooses once.")
@json_option
@pass_invocation
def choose(invocation: Invocation, to: str, claimant: str | None, idempotency_key: str | None) -> None:
    """Settle who a contact is, where several claim to be.

    CLAIMANT is the beginning of the root key that `p2pchat contacts show` lists and that the person sees in
    `p2pchat id show`: ask them, not through this program. The whole of it may be given before it is listed. Messages
    go to nobody else from then on.
    """
    chosen = invocation.call("contacts.choose", to=to, claimant=claimant, idempotency_key=idempotency_key)
    _show_result(invocation, chosen)


@contacts.command()
@click.argument("to", metavar="TO")
@click.argument("other", metavar="OTHER")
@click.option("--idempotency-key", metavar="K", help="The same key merges once.")
@json_option
@pass_invocation
def merge(invocation: Invocation, to: str, other: str, idempotency_key: str | None) -> None:
    """Make one of two contacts who are the same person.

    TO came by an invite; OTHER was added by number, and `p2pchat contacts show OTHER` says that its claimant is TO. The
    number and what waits for OTHER go to TO. Whoever knows both numbers can claim them: do it where you expect them to
    be one.
    """
    merged = invocation.call("contacts.merge", to=to, other=other, idempotency_key=idempotency_key)
    _show_result(invocation, merged)


@contacts.command()
@click.argument("to", metavar="TO")
@click.argument("name")
@click.option("--idempotency-key", metavar="K", help="The same key renames once.")
@json_option
@pass_invocation
def rename(invocation: Invocation, to: str, name: str, idempotency_key: str | None) -> None:
    """Give a contact another name."""
    _show_result(invocation, invocation.call("contacts.rename", to=to, name=name, idempotency_key=idempotency_key))


@contacts.command()
@click.argument("to", metavar="TO")
@click.option("--idempotency-key", metavar="K", help="The same key removes once.")
@json_option
@pass_invocation
def remove(invocation: Invocation, to: str, idempotency_key: str | None) -> None:
    """Forget a contact and the conversation with it."""
    _show_result(invocation, invocation.call("contacts.remove", to=to, idempotency_key=idempotency_key))


@contacts.command()
@click.argument("to", metavar="TO")
@click.option("--idempotency-key", metavar="K", help="The same key blocks once.")
@json_option
@pass_invocation
def block(invocation: Invocation, to: str, idempotency_key: str | None) -> None:
    """End every exchange with a contact.

    Your node takes another key, and another port if you named none, so that what the contact knew of it leads nowhere;
    your other contacts learn the new ones by themselves. What waits for the contact fails; the conversation stays.
    """
    _show_result(invocation, invocation.call("contacts.block", to=to, idempotency_key=idempotency_key))


@contacts.command()
@click.argument("to", metavar="TO")
@click.option("--idempotency-key", metavar="K", help="The same key unblocks once.")
@json_option
@pass_invocation
def unblock(invocation: Invocation, to: str, idempotency_key: str | None) -> None:
    """Look for a blocked contact again."""
    _show_result(invocation, invocation.call("contacts.unblock", to=to, idempotency_key=idempotency_key))


@contacts.command()
@click.argument("to", metavar="TO")
@click.option("--idempotency-key", metavar="K", help="The same key accepts once.")
@json_option
@pass_invocation
def accept(invocation: Invocation, to: str, idempotency_key: str | None) -> None:
    """Become a contact of somebody who used an invite that asks."""
    asked = invocation.call("contacts.get", to=to)
    accepted = invocation.call("contacts.accept", id=text(asked, "id"), idempotency_key=idempotency_key)
    _show_result(invocation, accepted)


@contacts.command()
@click.argument("to", metavar="TO")
@click.option("--idempotency-key", metavar="K", help="The same key refuses once.")
@json_option
@pass_invocation
def refuse(invocation: Invocation, to: str, idempotency_key: str | None) -> None:
    """Forget somebody who used an invite that asks. They are told nothing."""
    asked = invocation.call("contacts.get", to=to)
    refused = invocation.call("contacts.refuse", id=text(asked, "id"), idempotency_key=idempotency_key)
    _show_result(invocation, refused)


contacts.add_command(verify)
contacts.add_command(sms_proof)
contacts.add_command(receipts_of)


def _show_result(invocation: Invocation, contact: Mapping[str, object]) -> None:
    if invocation.as_json:
        emit(contact)
    elif not invocation.quiet:
        _print(contact)


def _print(contact: Mapping[str, object]) -> None:
    cells(_row(contact))


def _row(contact: Mapping[str, object]) -> list[Cell]:
    if contact.get("self") is True:
        return [text(contact, "name"), "", "self", "", text(contact, "id"), ""]
    return [
        *(text(contact, field) for field in ("name", "number")),
        *(of_state(text(contact, field)) for field in ("state", "trust")),
        text(contact, "id"),
        of_state("online") if contact.get("online") else "",
    ]
