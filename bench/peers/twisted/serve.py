# SPDX-License-Identifier: MIT
"""What the servers on Twisted share."""

import sys
from urllib.parse import urlsplit

from twisted.internet import interfaces, protocol, reactor
from zope.interface import implementer


@implementer(interfaces.IHalfCloseableProtocol)
class Guest(protocol.Protocol):
    """Whose input can end before its output does: else Twisted drops what is still to be sent."""

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self.producer(), streaming=True)

    def producer(self):
        """What is paused while the peer does not read."""
        return self.transport

    def readConnectionLost(self):
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


def run(guest):
    factory = protocol.Factory.forProtocol(guest)
    factory.noisy = False
    url = urlsplit(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999")
    at = reactor.listenTCP(url.port, factory, backlog=4096, interface=url.hostname).getHost()
    print(f"listening on tcp://{at.host}:{at.port}", flush=True)
    reactor.run()  # until SIGTERM
