"""What follows from its bytes alone, computed once for all nodes of a process.

A record is checked by each of its storers and by whoever reads it. Those are many machines; where they are one process
the same signature is checked again and again.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Final
from unittest.mock import patch

import nacl.bindings as sodium

_KEPT: Final = 8_192


@contextmanager
def computed_once() -> Generator[None]:
    """Signatures that were good, and key pairs of seeds, for what is run inside."""
    with ExitStack() as stack:
        for name in ("crypto_sign_open", "crypto_sign_seed_keypair"):
            stack.enter_context(patch.object(sodium, name, lru_cache(_KEPT)(getattr(sodium, name))))
        yield
