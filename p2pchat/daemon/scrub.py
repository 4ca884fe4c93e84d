"""What Python and the C library have freed is overwritten, as far as they hand it out again.

Nothing of Python overwrites a value when it is dropped: after locking every key would lie in free memory until chance
has it reused. So blocks of all small sizes are allocated here, zeroed, and given back: free blocks of such a size come
first, and are overwritten. Pages that are free altogether go back to the system. What lies in the heap of another
thread, or beside a block that is still in use, may stay; docs/THREAT-MODEL.md has the figure.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_OBJECT_BYTES: Final = range(48, 513, 16)
"""Sizes that Python's own allocator serves, above the head of an empty object."""

_CHUNK_BYTES: Final = (*range(24, 1025, 16), 1536, 2048, 3072, 4096, 8192, 16_384, 32_768, 65_536)
"""Sizes that the C library serves, to Python for what is larger, and to other libraries."""

_OBJECTS_BYTES: Final = 250_000
_CHUNKS: Final = 500
_CHUNKS_BYTES: Final = 500_000


def overwrite_freed_objects() -> None:
    """Overwrite what Python's own allocator has free. Blocking: some hundredths of a second."""
    head = sys.getsizeof(b"")
    held = [[bytes(size - head) for _ in range(_OBJECTS_BYTES // size)] for size in _OBJECT_BYTES]
    held.clear()


def overwrite_freed_chunks() -> None:
    """Overwrite what the C library has free for the calling thread. Blocking: some hundredths of a second."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = (ctypes.c_void_p,)
    held: list[int] = []
    for size in _CHUNK_BYTES:
        for _ in range(min(_CHUNKS, _CHUNKS_BYTES // size)):
            chunk = libc.malloc(ctypes.c_size_t(size))  # calloc would leave out the newest free chunks
            if chunk:
                ctypes.memset(chunk, 0, size)
                held.append(chunk)
    for chunk in held:
        libc.free(chunk)
    if hasattr(libc, "malloc_trim"):  # the GNU library's alone
        libc.malloc_trim(ctypes.c_size_t(0))
