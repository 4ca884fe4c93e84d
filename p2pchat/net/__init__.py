"""The network: the only folder that imports libp2p."""
