# SPDX-License-Identifier: MIT
"""The greeting on Twisted, with its LineReceiver. Twisted gathers what is written in a turn.

A name that is too long and has no end is found out one byte later than the contract has it, since
the LineReceiver keeps room for the second byte of the end.
"""

from twisted.internet import reactor
from twisted.protocols.basic import LineReceiver

import serve


class Greeter(LineReceiver, serve.Guest):
    MAX_LENGTH = 1024

    def producer(self):
        return self  # a receiver that is paused keeps the lines that it has read, too

    def lineReceived(self, line):
        self.transport.write(b"Hello, " + line + b"!\r\n")

    def lineLengthExceeded(self, line):
        """To close with input unread would reset the connection, and destroy the last answer."""
        self.setRawMode()
        self.transport.write(b"error: name too long\r\n")
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self.farewell = reactor.callLater(2, self.transport.abortConnection)

    def rawDataReceived(self, data):
        pass

    def connectionLost(self, reason):
        if self.line_mode == 0 and self.farewell.active():
            self.farewell.cancel()


if __name__ == "__main__":
    serve.run(Greeter)
