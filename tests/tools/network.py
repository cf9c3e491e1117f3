# SPDX-License-Identifier: MIT
"""A network of a test's own, so that it may count on it that nobody else is there."""

import ctypes
import fcntl
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def own(besides=0):
    """
    From here on this process, and what it starts, has a network with a loopback and all of its
    ports, and what is asked for besides. Gives whether that was allowed; else nothing changes.
    """
    if LIBC.unshare(CLONE_NEWNET | besides) < 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
    return True
