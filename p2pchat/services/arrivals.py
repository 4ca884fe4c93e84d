"""What comes on message streams and has this node compute something: from strangers only as fast as they all may.

A contact is not held up by what strangers bring: see :class:`~p2pchat.services.charges.Strangers`.
"""

from __future__ import annotations

from p2pchat.base.refusals import Refusal
from p2pchat.core.wire import BundleRequest, Flight
from p2pchat.net.transport import Stream
from p2pchat.services import charges, greet, receive
from p2pchat.services.context import Context


async def take(context: Context, stream: Stream, contact: int | None, arrivals: list[Flight | bytes]) -> receive.Answer:
    """Envelopes and first flights that came on ``stream``, taken in one commit.

    Args:
        contact: whose stream it is; None: a stranger's.

    Raises:
        NetError: there is too much of strangers.
    """
    if contact is None:
        await context.charges.strangers.wait(stream, charges.of_strangers(arrivals))
    answer = await context.db.run(lambda tx: receive.receive(tx, context, arrivals, stream.peer))
    for _ in answer.nacks:
        context.charges.refusals.note(Refusal.ENVELOPE_REFUSED)
    return answer


async def answer(context: Context, stream: Stream, contact: int | None, proof: bytes) -> bytes:
    """The bundle for whoever asks for one with ``proof``, or the constant refusal. Raises as :func:`take`.

    Args:
        contact: as for :func:`take`.
    """
    if contact is None:
        await context.charges.strangers.wait(stream, charges.PRICES[BundleRequest])
    bundle = await context.db.run(lambda tx: greet.answer_request(tx, context, proof, stream.peer))
    if bundle == greet.REFUSED:
        context.charges.refusals.note(Refusal.BUNDLE_REFUSED)
    return bundle
