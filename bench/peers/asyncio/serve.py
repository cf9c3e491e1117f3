# SPDX-License-Identifier: MIT
"""What the servers on asyncio's streams share. asyncio turns TCP_NODELAY on by itself."""

import asyncio
import sys
from urllib.parse import urlsplit


def run(serve_guest, limit=65536):
    """The limit is asyncio's: of a line, and of half of what is read ahead."""
    address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999"
    asyncio.run(serve(serve_guest, urlsplit(address), limit))


async def serve(serve_guest, url, limit):
    async def welcome(reader, writer):
        try:
            await serve_guest(reader, writer)
        except OSError:  # the guest has gone
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(welcome, url.hostname, url.port, limit=limit, backlog=4096)
    host, port = server.sockets[0].getsockname()
    print(f"listening on tcp://{host}:{port}", flush=True)
    await server.serve_forever()  # until SIGTERM ends the process
