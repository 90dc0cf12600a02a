"""Names and addresses under which a server is asked."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

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
    """Whether it is numbers, and not a name that somebody may have pointed here.

    >>> is_address("192.168.0.7"), is_address("::1"), is_address("example.org")
    (True, True, False)
    """
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_name(header: str) -> str:
    """Of a Host header, without the port.

    >>> host_name("Example.org:8001"), host_name("[::1]:8001")
    ('example.org', '::1')
    """
    host = header.lower()
    return host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
