"""The services on a home router's own address, on sockets of its namespace, served by the wire's loop."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_interface
from typing import Final

from netlab import igd, natpmp
from netlab.nat import Nat
from netlab.spaces import Space, inside
from netlab.topology import Host, Options

_DATAGRAM_BYTES: Final = 2048

Readers = dict[int, Callable[[], None]]


class Router:
    """One router that may map ports.

    Args:
        readers: the wire's, by descriptor: what is called when something has come.
        watch: has the wire's loop look at a descriptor.
    """

    def __init__(
        self, host: Host, space: Space, nat: Nat, options: Options, readers: Readers, watch: Callable[[int], None]
    ) -> None:
        self._address = str(ip_interface(host.addresses[0]).ip)
        self._nat = nat
        self._began_s = time.monotonic()
        self._sockets: list[socket.socket] = []
        self._readers = readers
        self._watch = watch
        with inside(f"/proc/self/fd/{space.namespace}"):
            if options.natpmp:
                self._serve(self._datagrams(self._address, natpmp.PORT), self._natpmp)
            if options.upnp:
                ssdp = self._datagrams("", igd.SSDP_PORT)
                group = struct.pack("4s4s", IPv4Address(igd.GROUP).packed, IPv4Address(self._address).packed)
                ssdp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
                self._serve(ssdp, self._ssdp)
                http = socket.create_server((self._address, igd.HTTP_PORT))
                http.setblocking(False)
                self._serve(http, self._http)

    def _datagrams(self, address: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((address, port))
        made.setblocking(False)
        return made

    def _serve(self, made: socket.socket, reader: Callable[[socket.socket], None]) -> None:
        self._sockets.append(made)
        self._readers[made.fileno()] = lambda: reader(made)
        self._watch(made.fileno())

    def _natpmp(self, server: socket.socket) -> None:
        request, sender = server.recvfrom(_DATAGRAM_BYTES)
        now = time.monotonic()
        inside_address = IPv4Address(sender[0]).packed
        answer = natpmp.answer(request, inside_address, self._nat, int(now - self._began_s), now)
        if answer is not None:
            server.sendto(answer, sender)

    def _ssdp(self, server: socket.socket) -> None:
        request, sender = server.recvfrom(_DATAGRAM_BYTES)
        answer = igd.discovered(request, self._address)
        if answer is not None:
            server.sendto(answer, sender)

    def _http(self, server: socket.socket) -> None:
        connection, sender = server.accept()
        connection.setblocking(False)
        _Exchange(connection, str(sender[0]), self._nat, self._readers, self._watch)


class _Exchange:
    """One HTTP request and its answer. The wire itself carries them, so that nothing here may wait."""

    def __init__(
        self, connection: socket.socket, sender: str, nat: Nat, readers: Readers, watch: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._sender = sender
        self._nat = nat
        self._readers = readers
        self._request = b""
        readers[connection.fileno()] = self._read
        watch(connection.fileno())

    def _read(self) -> None:
        try:
            data = self._connection.recv(_DATAGRAM_BYTES)
            self._request += data
            if data and not igd.is_complete(self._request):
                return
            if data:  # the answer fits into the socket's buffer
                self._connection.send(igd.served(self._request, self._sender, self._nat, time.monotonic()))
        except OSError:
            pass  # the client has gone, and its exchange with it
        del self._readers[self._connection.fileno()]
        self._connection.close()
