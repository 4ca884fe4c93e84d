"""The pure protocol: bytes, now and entropy in; new state and effects out. No I/O, no clock, no randomness."""
