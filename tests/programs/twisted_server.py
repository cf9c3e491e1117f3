#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The greeting server on Twisted: a peer that has no line in common with Evert.

    twisted_server.py [ADDRESS]
"""

import sys
from urllib.parse import urlsplit

from twisted.internet import protocol, reactor
from twisted.protocols.basic import LineReceiver

TOO_LONG = b"error: name too long\r\n"


class Greeter(LineReceiver):
    MAX_LENGTH = 1024

    def lineReceived(self, line):
        self.transport.write(b"Hello, " + line + b"!\r\n")

    def lineLengthExceeded(self, line):
        self.transport.write(TOO_LONG)
        self.transport.loseConnection()


def listen(address):
    """Gives the address with its real port."""
    factory = protocol.Factory.forProtocol(Greeter)
    factory.noisy = False
    url = urlsplit(address)
    if url.scheme == "unix":
        reactor.listenUNIX(url.path, factory)
        return address
    host = "127.0.0.1" if url.hostname == "localhost" else url.hostname
    at = reactor.listenTCP(url.port, factory, backlog=4096, interface=host).getHost()
    return f"tcp://[{at.host}]:{at.port}" if ":" in at.host else f"tcp://{at.host}:{at.port}"


def main():
    print("listening on", listen(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999"),
          flush=True)
    reactor.run()  # until SIGTERM


if __name__ == "__main__":
    main()
