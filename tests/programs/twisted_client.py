#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The greeting client on Twisted: a peer that has no line in common with Evert.

    twisted_client.py ADDRESS NAME...

All names go out in one piece on one connection; the greetings come out one a line, as bytes.
"""

import os
import sys
from urllib.parse import urlsplit

from twisted.internet import defer, endpoints, error, protocol, task
from twisted.protocols.basic import LineReceiver


class Asker(LineReceiver):
    MAX_LENGTH = 1100

    def __init__(self, names):
        self.waiting = len(names)
        self.names = names
        self.done = defer.Deferred()

    def connectionMade(self):
        self.transport.write(b"".join(name + b"\r\n" for name in self.names))

    def lineReceived(self, line):
        if not line.startswith(b"Hello, "):
            self.done.errback(ValueError(f"not a greeting: {line!r}"))
            self.transport.abortConnection()
            return
        sys.stdout.buffer.write(line + b"\n")
        self.waiting -= 1
        if self.waiting == 0:
            self.transport.loseConnection()

    def connectionLost(self, reason=protocol.connectionDone):
        if self.done.called:
            return
        if self.waiting == 0:
            self.done.callback(None)
        else:
            self.done.errback(reason)


def endpoint_of(reactor, address):
    url = urlsplit(address)
    if url.scheme == "unix":
        return endpoints.UNIXClientEndpoint(reactor, url.path)
    return endpoints.HostnameEndpoint(reactor, url.hostname, url.port)


async def get_greetings(reactor, address, names):
    try:
        asker = await endpoints.connectProtocol(endpoint_of(reactor, address), Asker(names))
        await asker.done
    except (OSError, ValueError, error.ConnectError, error.ConnectionClosed) as problem:
        sys.exit(f"{address}: {problem}")


def main():
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} ADDRESS NAME...")
    names = [os.fsencode(name) for name in sys.argv[2:]]
    task.react(lambda reactor: defer.ensureDeferred(
        get_greetings(reactor, sys.argv[1], names)))


if __name__ == "__main__":
    main()
