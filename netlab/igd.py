"""The home router's UPnP: discovery by SSDP, and the SOAP calls that map a port.

Source: UPnP Device Architecture 1.1; WANIPConnection:1. What clients use of it, no more: GetExternalIPAddress,
AddPortMapping, DeletePortMapping, GetSpecificPortMappingEntry, GetStatusInfo.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Final

from netlab.nat import Nat
from netlab.packets import TCP, UDP

GROUP: Final = "239.255.255.250"
SSDP_PORT: Final = 1900
HTTP_PORT: Final = 5000

_DEVICE: Final = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
_SERVICE: Final = "urn:schemas-upnp-org:service:WANIPConnection:1"
_CONTROL: Final = "/control"
_SCPD: Final = "/scpd.xml"
_DESCRIPTION: Final = "/description.xml"
_TARGETS: Final = (_DEVICE, _SERVICE, "upnp:rootdevice", "ssdp:all")
_PROTOCOLS: Final = {"TCP": TCP, "UDP": UDP}
_FOREVER_S: Final = 10.0**9
_TAKEN: Final = (718, "ConflictInMappingEntry")
_NOT_FOR_OTHERS: Final = (606, "Action not authorized")
_NO_SUCH: Final = (714, "NoSuchEntryInArray")
_BAD_ARGUMENTS: Final = (402, "Invalid Args")
_BAD_ACTION: Final = (401, "Invalid Action")


def discovered(request: bytes, router: str) -> bytes | None:
    """The answer to one SSDP datagram; None: it asks for something else."""
    lines = request.decode("latin-1").split("\r\n")
    fields = {name.strip().upper(): text.strip() for name, _, text in (line.partition(":") for line in lines[1:])}
    target = fields.get("ST", "")
    if not lines[0].startswith("M-SEARCH ") or target not in _TARGETS:
        return None
    answer = [
        "HTTP/1.1 200 OK",
        "CACHE-CONTROL: max-age=120",
        "EXT:",
        f"LOCATION: http://{router}:{HTTP_PORT}{_DESCRIPTION}",
        "SERVER: netlab UPnP/1.1 netlab/1",
        f"ST: {_DEVICE if target == 'ssdp:all' else target}",
        f"USN: uuid:netlab::{_DEVICE}",
        "",
        "",
    ]
    return "\r\n".join(answer).encode()


def is_complete(request: bytes) -> bool:
    """Whether an HTTP request has come to its end."""
    head, separator, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d{1,6})", head)
    return bool(separator) and len(body) >= (int(length[1]) if length else 0)


def served(request: bytes, sender: str, nat: Nat, now: float) -> bytes:
    """The answer to one HTTP request, after which the connection ends. ``sender``: nobody maps for another host."""
    line, _, rest = request.decode("latin-1").partition("\r\n")
    method, path, *_ = [*line.split(), "", ""]
    if method == "GET" and path == _DESCRIPTION:
        return _http(200, _description())
    if method == "GET" and path == _SCPD:
        return _http(200, '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0"/>')
    action = re.search(r'(?im)^soapaction:\s*"?[^#"\r]*#(\w+)', rest)
    if method != "POST" or path != _CONTROL or action is None:
        return _http(404, "")
    told = _act(action[1], rest, sender, nat, now)
    if isinstance(told, tuple):
        return _http(500, _fault(*told))
    values = "".join(f"<{name}>{text}</{name}>" for name, text in told.items())
    return _http(200, _envelope(f'<u:{action[1]}Response xmlns:u="{_SERVICE}">{values}</u:{action[1]}Response>'))


def _act(action: str, text: str, sender: str, nat: Nat, now: float) -> dict[str, str] | tuple[int, str]:
    """What an action returns, or (code, reason) of its refusal."""
    if action == "GetExternalIPAddress":
        return {"NewExternalIPAddress": str(IPv4Address(nat.outside))}
    if action == "GetStatusInfo":
        return {"NewConnectionStatus": "Connected", "NewLastConnectionError": "ERROR_NONE", "NewUptime": "1"}
    if action not in ("AddPortMapping", "DeletePortMapping", "GetSpecificPortMappingEntry"):
        return _BAD_ACTION
    protocol, outside_port = _PROTOCOLS.get(_argument(text, "NewProtocol")), _argument(text, "NewExternalPort")
    if protocol is None or not outside_port.isdecimal():
        return _BAD_ARGUMENTS
    taken = nat.opened(protocol, int(outside_port), now)
    if action == "AddPortMapping":
        inside_port, lifetime = _argument(text, "NewInternalPort"), _argument(text, "NewLeaseDuration")
        if not inside_port.isdecimal() or not lifetime.isdecimal():
            return _BAD_ARGUMENTS
        return _add(sender, protocol, int(inside_port), int(outside_port), int(lifetime), text, nat, now)
    if taken is None:
        return _NO_SUCH
    if action == "DeletePortMapping":
        nat.close(protocol, taken.inside, taken.inside_port)
        return {}
    return {
        "NewInternalPort": str(taken.inside_port),
        "NewInternalClient": str(IPv4Address(taken.inside)),
        "NewEnabled": "1",
        "NewPortMappingDescription": "",
        "NewLeaseDuration": str(round((taken.until_s or now) - now)),
    }


def _add(
    sender: str, protocol: int, inside_port: int, wanted: int, lifetime_s: int, text: str, nat: Nat, now: float
) -> dict[str, str] | tuple[int, str]:
    client = _argument(text, "NewInternalClient")
    if client != sender:
        return _NOT_FOR_OTHERS
    inside = IPv4Address(client).packed
    got = nat.open(protocol, inside, inside_port, wanted, lifetime_s or _FOREVER_S, now)
    if got != wanted:  # version 1 knows no other port than the wanted one
        nat.close(protocol, inside, inside_port)
        return _TAKEN
    return {}


def _argument(text: str, name: str) -> str:
    found = re.search(rf"<{name}[^>]*>([^<]*)</{name}>", text)
    return found[1].strip() if found else ""


def _description() -> str:
    """The three nested devices that every client expects."""
    service = (
        f"<serviceList><service><serviceType>{_SERVICE}</serviceType>"
        "<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>"
        f"<controlURL>{_CONTROL}</controlURL><eventSubURL>/event</eventSubURL><SCPDURL>{_SCPD}</SCPDURL>"
        "</service></serviceList>"
    )
    device = service
    for kind in ("WANConnectionDevice", "WANDevice", "InternetGatewayDevice"):
        device = (
            f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType><friendlyName>netlab</friendlyName>"
            f"<manufacturer>netlab</manufacturer><modelName>netlab</modelName><UDN>uuid:netlab-{kind}</UDN>"
            f"{device}</device>"
        )
        if kind != "InternetGatewayDevice":
            device = f"<deviceList>{device}</deviceList>"
    version = "<specVersion><major>1</major><minor>0</minor></specVersion>"
    return f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">{version}{device}</root>'


def _fault(code: int, reason: str) -> str:
    error = f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{code}</errorCode>'
    error += f"<errorDescription>{reason}</errorDescription></UPnPError>"
    fault = f"<faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>{error}</detail>"
    return _envelope(f"<s:Fault>{fault}</s:Fault>")


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{body}</s:Body></s:Envelope>'
    )


def _http(status: int, body: str) -> bytes:
    words = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}[status]
    head = f"HTTP/1.1 {status} {words}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n{body}".encode()
