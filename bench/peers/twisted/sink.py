# SPDX-License-Identifier: MIT
"""Drops what it reads and, at the peer's end, says how many bytes there were; on Twisted."""

import serve


class Sink(serve.Guest):
    count = 0

    def dataReceived(self, data):
        self.count += len(data)

    def readConnectionLost(self):
        self.transport.write(b"%d\r\n" % self.count)
        super().readConnectionLost()


if __name__ == "__main__":
    serve.run(Sink)
