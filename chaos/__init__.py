"""Real daemons that talk while they are killed, stopped, cut off and attacked: ``scripts/chaos``. See ``__main__``."""
