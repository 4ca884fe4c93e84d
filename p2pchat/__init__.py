"""p2pchat: a serverless, end-to-end encrypted messenger that runs as a daemon."""

__version__ = "0.1.0"
