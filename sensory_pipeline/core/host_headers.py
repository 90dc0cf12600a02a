"""Names and addresses of a server."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


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
