"""The router's UPnP: what it answers to whom."""

from __future__ import annotations

from random import Random

from netlab import igd
from netlab.nat import Lifetimes, Nat
from netlab.packets import TCP
from tests.unit.netlab.built import packed

ALICE = "192.168.1.2"
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"


def nat() -> Nat:
    return Nat(packed("45.77.1.1"), "preserving", Lifetimes(), Random(1))


def call(box: Nat, action: str, sender: str = ALICE, **arguments: object) -> str:
    values = "".join(f"<{name}>{value}</{name}>" for name, value in arguments.items())
    body = f'<?xml version="1.0"?><u:{action} xmlns:u="{SERVICE}">{values}</u:{action}>'
    head = f'POST /control HTTP/1.1\r\nSOAPAction: "{SERVICE}#{action}"\r\nContent-Length: {len(body)}\r\n\r\n'
    return igd.served((head + body).encode(), sender, box, 0.0).decode()


def add(box: Nat, client: str, port: int, sender: str = ALICE) -> str:
    values = {"NewExternalPort": port, "NewProtocol": "TCP", "NewInternalPort": 4001, "NewInternalClient": client}
    return call(box, "AddPortMapping", sender, **values, NewLeaseDuration=0)


def test_a_search_is_answered_if_it_is_for_gateways() -> None:
    search = 'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: {}\r\n\r\n'
    target = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
    answer = igd.discovered(search.format(target).encode(), "192.168.1.1")
    assert answer is not None
    assert b"LOCATION: http://192.168.1.1:5000/description.xml\r\n" in answer
    assert igd.discovered(search.format("urn:schemas-upnp-org:device:Printer:1").encode(), "192.168.1.1") is None
    assert igd.discovered(b"NOTIFY * HTTP/1.1\r\n\r\n", "192.168.1.1") is None


def test_the_description_names_where_to_call() -> None:
    answer = igd.served(b"GET /description.xml HTTP/1.1\r\n\r\n", ALICE, nat(), 0.0)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"<controlURL>/control</controlURL>" in answer
    assert igd.served(b"GET /else HTTP/1.1\r\n\r\n", ALICE, nat(), 0.0).startswith(b"HTTP/1.1 404 ")
    assert igd.served(b"", ALICE, nat(), 0.0).startswith(b"HTTP/1.1 404 ")


def test_a_port_is_mapped_told_and_unmapped() -> None:
    box = nat()
    assert "<NewExternalIPAddress>45.77.1.1</NewExternalIPAddress>" in call(box, "GetExternalIPAddress")
    assert add(box, ALICE, 5000).startswith("HTTP/1.1 200 ")
    opened = box.opened(TCP, 5000, 1.0)
    assert opened is not None
    assert (opened.inside, opened.inside_port) == (packed(ALICE), 4001)
    told = call(box, "GetSpecificPortMappingEntry", NewExternalPort=5000, NewProtocol="TCP")
    assert f"<NewInternalClient>{ALICE}</NewInternalClient>" in told
    assert call(box, "DeletePortMapping", NewExternalPort=5000, NewProtocol="TCP").startswith("HTTP/1.1 200 ")
    assert box.opened(TCP, 5000, 1.0) is None


def test_refusals_have_their_codes() -> None:
    box = nat()
    add(box, ALICE, 5000)
    assert "<errorCode>718<" in add(box, "192.168.1.3", 5000, sender="192.168.1.3")
    assert "<errorCode>606<" in add(box, "192.168.1.3", 5001)
    assert "<errorCode>714<" in call(box, "DeletePortMapping", NewExternalPort=7, NewProtocol="TCP")
    assert "<errorCode>402<" in call(box, "DeletePortMapping", NewExternalPort="x", NewProtocol="TCP")
    assert "<errorCode>401<" in call(box, "ForceTermination")


def test_a_request_is_complete_with_its_body() -> None:
    head = b"POST /control HTTP/1.1\r\nContent-Length: 3\r\n\r\n"
    assert [igd.is_complete(data) for data in (head[:-1], head, head + b"ab", head + b"abc")] == [
        False,
        False,
        False,
        True,
    ]
    assert igd.is_complete(b"GET / HTTP/1.1\r\n\r\n")
