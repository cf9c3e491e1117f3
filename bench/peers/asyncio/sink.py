# SPDX-License-Identifier: MIT
"""Drops what it reads and, at the peer's end, says how many bytes there were; on asyncio's streams.

With their usual limit of 64 KiB a stream is paused and resumed all the time, which takes as much
time again. On uvloop it makes no difference, and all of it takes as long as that.
"""

import serve


async def drop(reader, writer):
    count = 0
    while data := await reader.read(262144):
        count += len(data)
    writer.write(b"%d\r\n" % count)


if __name__ == "__main__":
    serve.run(drop, limit=262144)
