"""Addresses of the network: which of them anybody can reach, however they are written."""

from __future__ import annotations

import ipaddress
import socket

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name.

    Also the forms that resolvers take besides the usual one: ``127.1``, ``2130706433``, ``0x7f.1``, ``0177.0.0.1``.
    """
    host = host.strip("[]").partition("%")[0]  # what follows a percent sign names a network card
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError, UnicodeError):
        return None


def is_public(address: Address) -> bool:
    """Whether an address is one of the public network.

    Not so are loopback, private, link-local, shared, unspecified, reserved and multicast addresses, nor IPv6 addresses
    that lead to such an address of IPv4 (mapped, 6to4, Teredo, NAT64).
    """
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return _leads_to_public(address)
    if isinstance(address, ipaddress.IPv6Address):
        return address not in _SITE_LOCAL and all(is_public(inner) for inner in _inside(address))
    return True


def _leads_to_public(address: Address) -> bool:
    """Whether it is special only since it holds an address of IPv4, and that one is public."""
    inner = _inside(address)
    return bool(inner) and all(is_public(one) for one in inner)


def _inside(address: Address) -> list[ipaddress.IPv4Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]
