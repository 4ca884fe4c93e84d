"""The daemon: composition root, configuration, logs, signals."""

from p2pchat.net.lean import defer

# structlog loads rich and pygments for exceptions in colour; the daemon's lines are events, its exceptions have a place
defer("rich.console", "Console")
defer("rich.pretty")
defer("rich.traceback", "Traceback")
defer("phonenumbers")  # with all countries' plans: a node that meets no new number needs none
