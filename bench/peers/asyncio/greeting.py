# SPDX-License-Identifier: MIT
"""The greeting on asyncio's streams, a line at a time, as it is mostly written: so each answer is a
send of its own. greeting_gathered.py does without; protocols in place of streams would save a tenth
of the time.

A name that is too long and has no end is found out one byte later than the contract has it, since
readuntil() keeps room for the second byte of the end.
"""

import asyncio

import serve

NAME_LIMIT = 1024


async def say_farewell(reader, writer):
    """To close with input unread would reset the connection, and destroy the last answer."""
    writer.write_eof()
    try:
        async with asyncio.timeout(2):
            while await reader.read(65536):
                pass
    except TimeoutError:
        pass


async def greet(reader, writer):
    try:
        while True:
            name = await reader.readuntil(b"\r\n")
            writer.write(b"Hello, " + name[:-2] + b"!\r\n")
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    except asyncio.LimitOverrunError:
        writer.write(b"error: name too long\r\n")
        await say_farewell(reader, writer)


if __name__ == "__main__":
    serve.run(greet, limit=NAME_LIMIT)
