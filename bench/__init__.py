"""Measurements with real daemons, each beside what this machine can do at all. Not part of the wheel."""
