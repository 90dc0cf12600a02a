"""Says whether a host or address is local or public, and whether a request comes from another site's page."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_PROTOCOLS = IPv4Network("192.0.0.0/24")  # some versions of Python call most of it global
_GLOBAL = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether this is an IP address, and not a name that somebody may have pointed at this machine.

    >>> is_address("192.168.0.7"), is_address("::1"), is_address("example.org")
    (True, True, False)
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet: not to this machine, its network, its cloud or a group.

    >>> [is_public(address) for address in ("8.8.8.8", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fe80::1%2")]
    [True, False, False, False, False]
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if (mapped := ip.ipv4_mapped) or ip in _NAT64:
            ip = mapped or IPv4Address(ip.packed[-4:])
        elif ip not in _GLOBAL or ip.sixtofour is not None:  # 6to4 leads to an IPv4 address
            return False
    return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS


def host_name(header: str) -> str:
    """The name in a Host header, without the port.

    >>> host_name("Example.org:8001"), host_name("[::1]:8001")
    ('example.org', '::1')
    """
    host = header.lower()
    return host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


def is_foreign(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of another site. Browsers send an origin with a request; programs send none.

    Args:
        origin: The Origin header, None where there is none.
        host: The Host header.

    >>> is_foreign("https://a.org", "a.org"), is_foreign(None, "a.org"), is_foreign("null", "localhost")
    (False, False, True)
    """
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
