"""Weeks of a network of whole nodes in minutes, by a seed; an oracle knows every text (docs/ARCHITECTURE.md)."""
