"""Answers every text with the same text: none is left out and none answered twice, whatever is restarted meanwhile."""

from p2pchat.client import ApiError, Client

with Client() as client:
    for event in client.events(consumer="echo", types=["message.received"]):
        message = event["data"]
        if not message.get("text"):  # it was deleted since
            continue
        to, key = message["contact_id"], f"echo {message['id']}"
        try:
            client.insist("message.send", to=to, text=message["text"], idempotency_key=key)
        except ApiError as error:
            if error.error_name not in ("BLOCKED", "CONTACT_NOT_FOUND"):
                raise
