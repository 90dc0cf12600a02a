"""The address that a command listens on."""

from __future__ import annotations

import errno
import socket

from sensory_pipeline.core.errors import ConfigurationError


def url(host: str, port: int) -> str:
    """Return the URL of a server.

    >>> url("127.0.0.1", 3000), url("::1", 3000)
    ('http://127.0.0.1:3000', 'http://[::1]:3000')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: A name, or an address of IPv4 or IPv6.
        port: The port; 0 for any free one.

    Raises:
        ConfigurationError: The port is in use, or the address is not one of this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} is in use: choose another with --port") from error
        raise ConfigurationError(
            f"cannot listen on {host}, port {port} ({error.strerror}): choose another with --host or --port"
        ) from error
