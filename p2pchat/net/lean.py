"""libp2p without what its packages load along.

``libp2p/__init__.py`` and ``libp2p/transport/__init__.py`` import all there is: QUIC, WebSocket, ACME, mDNS, relays and
what those need, 400 modules that this node never uses. They cost 24 MB and 0.4 s at every start. Here the two packages
are made, but their own code is run only when somebody asks for a name that it defines: whatever works with libp2p works
as before, later.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec


def defer(package: str) -> None:
    """Put off the code of ``package``; nothing happens where it was imported before.

    Args:
        package: its full name; the package that holds it was deferred before.
    """
    if package in sys.modules:
        return
    spec = find_spec(package)
    loader = None if spec is None else spec.loader
    if spec is None or loader is None:
        return  # whoever imports it will be told
    module = module_from_spec(spec)

    def look_up(name: str) -> object:
        """What is neither there nor a submodule is in the package's code: run it, once."""
        if name.startswith("__") or find_spec(f"{package}.{name}") is not None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = look_up
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)
