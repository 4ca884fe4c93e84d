"""Weeks of a network of whole nodes in minutes, by a seed, and an oracle that knows every text (docs/ARCHITECTURE.md)."""
