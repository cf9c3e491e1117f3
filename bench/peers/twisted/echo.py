# SPDX-License-Identifier: MIT
"""Sends every byte back as it came, on Twisted."""

import serve


class Echo(serve.Guest):
    def dataReceived(self, data):
        self.transport.write(data)


if __name__ == "__main__":
    serve.run(Echo)
