"""Clients of the control socket, for the command line and for scripts. No trio, no libp2p."""
