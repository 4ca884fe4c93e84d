"""What both ends of the control socket share: objects, framings, the table of errors, where a profile lives.

Rules: no trio, no libp2p, no store. The command line imports it at every call, so ``errors`` and ``paths`` load
nothing but the standard library.
"""
