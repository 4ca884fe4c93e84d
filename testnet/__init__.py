"""Real daemons that form a network of their own on this machine, to play with and to break.

Not part of the wheel. Linux only; with ``--netns`` root only, since each node then has a namespace of :mod:`netlab`.
"""
