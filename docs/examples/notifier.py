"""Shows each message that comes as a notification of the desktop; where there is none, prints it."""

import shutil
import subprocess

from p2pchat.api.text import escape
from p2pchat.client import Client

with Client() as client:
    for event in client.events(types=["message.received"]):
        message = event["data"]
        if message.get("text"):  # else it was deleted since
            contact = client.insist("contacts.get", to=message["contact_id"])
            shown = escape(f"{contact['name']}: {message['text']}")
            if shutil.which("notify-send"):
                subprocess.run(["notify-send", "--", shown], check=False)
            else:
                print(shown, flush=True)
