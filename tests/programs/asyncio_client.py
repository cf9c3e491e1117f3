#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The greeting client on Python's asyncio: a peer that has no line in common with Evert.

    asyncio_client.py ADDRESS NAME...

All names go out in one piece on one connection; the greetings come out one a line, as bytes.
"""

import asyncio
import os
import sys
from urllib.parse import urlsplit


def connect(address):
    url = urlsplit(address)
    if url.scheme == "unix":
        return asyncio.open_unix_connection(url.path)
    return asyncio.open_connection(url.hostname, url.port)


async def get_greetings(address, names):
    reader, writer = await connect(address)
    try:
        writer.write(b"".join(name + b"\r\n" for name in names))
        for _ in names:
            greeting = (await reader.readuntil(b"\r\n")).removesuffix(b"\r\n")
            if not greeting.startswith(b"Hello, "):
                sys.exit(f"not a greeting: {greeting!r}")
            sys.stdout.buffer.write(greeting + b"\n")
    finally:
        writer.close()


def main():
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} ADDRESS NAME...")
    try:
        asyncio.run(get_greetings(sys.argv[1], [os.fsencode(name) for name in sys.argv[2:]]))
    except (OSError, EOFError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
