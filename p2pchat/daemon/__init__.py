"""The daemon: composition root, configuration, logs, signals."""
