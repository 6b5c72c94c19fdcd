"""What a failed system call on a socket says: is it the other side, or does this machine lack something?

A shortage (T6) is nobody's fault outside: who asked may pause and ask again. That there is no way to an IPv6
address is none: a machine without IPv6 is what it is, waiting does not help, and the same host's IPv4
addresses may do.
"""

from __future__ import annotations

import errno
import os
import socket

# EADDRNOTAVAIL: no local port is free. For IPv6 it mostly means that this machine has no IPv6 address.
SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
NO_WAY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})


def no_way(error: OSError, address: str) -> bool:
    """This machine cannot send to the family of `address` (IPv6) at all."""
    return ":" in address and error.errno in NO_WAY


def is_shortage(error: OSError, address: str) -> bool:
    """This machine ran out of something when it turned to `address`."""
    return error.errno in SHORTAGES and not no_way(error, address)


def in_words(error: OSError) -> str:
    """For people. Not `strerror`, where trio puts the address, which is shown beside it already."""
    if error.errno is None or isinstance(error, socket.gaierror):  # the latter counts by its own numbers
        return error.strerror or str(error)
    return os.strerror(error.errno)
