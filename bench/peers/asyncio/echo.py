# SPDX-License-Identifier: MIT
"""Sends every byte back as it came, on asyncio's streams."""

import serve


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


if __name__ == "__main__":
    serve.run(echo)
