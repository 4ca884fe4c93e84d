"""The command line: parse, call the client, print. What a command does happens in the daemon.

Rules:

- Results go to stdout, everything else to stderr. With ``--json`` stdout has the API's objects, one a line, and nothing
  else.
- What others have written is escaped before it reaches a terminal.
- A command imports what it needs when it is called: ``status`` loads no other command.
"""
