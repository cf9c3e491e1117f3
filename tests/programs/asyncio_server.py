#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The greeting server on Python's asyncio: a peer that has no line in common with Evert.

    asyncio_server.py [ADDRESS]
"""

import asyncio
import os
import signal
import sys
from urllib.parse import urlsplit

NAME_LIMIT = 1024
TOO_LONG = b"error: name too long\r\n"
FAREWELL_SECONDS = 2


async def greet(reader, writer):
    rest, too_long = b"", False
    while not too_long and (chunk := await reader.read(65536)):
        *names, rest = (rest + chunk).split(b"\r\n")
        answers, too_long = answer(names, rest)
        writer.write(answers)
        await writer.drain()
    if too_long:
        await say_farewell(reader, writer)


def answer(names, rest):
    """The answers, and whether the last of them says that a name is too long."""
    answers = []
    for name in names:
        if len(name) > NAME_LIMIT:
            return b"".join(answers) + TOO_LONG, True
        answers.append(b"Hello, " + name + b"!\r\n")
    if len(rest.removesuffix(b"\r")) > NAME_LIMIT:
        return b"".join(answers) + TOO_LONG, True
    return b"".join(answers), False


async def say_farewell(reader, writer):
    """Closing with input unread would reset the connection and could destroy the answer."""
    writer.write_eof()
    async with asyncio.timeout(FAREWELL_SECONDS):
        while await reader.read(65536):
            pass


async def serve_connection(reader, writer):
    try:
        await greet(reader, writer)
    except (OSError, TimeoutError):
        writer.transport.abort()
    except asyncio.CancelledError:
        pass
    finally:
        writer.close()


async def listen(address):
    url = urlsplit(address)
    if url.scheme == "unix":
        return await asyncio.start_unix_server(serve_connection, url.path), address
    server = await asyncio.start_server(serve_connection, url.hostname, url.port, backlog=4096)
    host, port = server.sockets[0].getsockname()[:2]
    return server, f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


async def serve(address):
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    _, real_address = await listen(address)
    print("listening on", real_address, flush=True)
    await end.wait()
    if address.startswith("unix://"):
        os.unlink(urlsplit(address).path)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999"))
