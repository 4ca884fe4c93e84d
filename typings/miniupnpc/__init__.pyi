"""What p2pchat.net.upnp uses of miniupnpc 2.3.3, which brings no types."""

class UPnP:
    discoverdelay: int
    multicastif: str | None

    def discover(self) -> int: ...
    def selectigd(self) -> str: ...
    def externalipaddress(self) -> str: ...
    def addportmapping(
        self,
        external_port: int,
        protocol: str,
        host: str,
        port: int,
        description: str,
        remote_host: str,
        lease_s: int = ...,
        /,
    ) -> bool: ...
    def deleteportmapping(self, external_port: int, protocol: str, /) -> bool: ...
