"""``chat``: a conversation in the terminal.

    typed ─▶ view ─▶ talk ─▶ link ─▶ daemon         wrapping ◀─ drawing ◀─ screen ◀─ view
                      │ ▲      │                                             │
                      ▼ └──────┘ replies, events                history ◀────┘

Rules:

- Everything but ``view`` and ``link`` is pure: what happened goes in, what is on the screen comes out. They are tested
  without a terminal and without a daemon.
- Everything but ``link`` runs in the thread of the terminal's event loop; ``link`` blocks on the socket in threads of
  its own and posts what came.
- What others have written is escaped before it is measured, and measured before it is drawn: it moves no cursor, sets
  no title and no colour, and takes no place but its own.
- No text is lost: what could not be sent is back in the input, what was perhaps sent is sent again under the same key.
- No other command loads the library that draws; ``command`` does when it is called.
"""
