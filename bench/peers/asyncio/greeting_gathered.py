# SPDX-License-Identifier: MIT
"""The greeting on asyncio's streams: all names that came in one piece are answered in one write."""

import serve
from greeting import NAME_LIMIT, say_farewell

TOO_LONG = b"error: name too long\r\n"


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


async def greet(reader, writer):
    rest = b""
    while chunk := await reader.read(65536):
        *names, rest = (rest + chunk).split(b"\r\n")
        answers, too_long = answer(names, rest)
        writer.write(answers)
        if too_long:
            await say_farewell(reader, writer)
            return
        await writer.drain()


if __name__ == "__main__":
    serve.run(greet)
