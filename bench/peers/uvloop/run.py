# SPDX-License-Identifier: MIT
"""Runs a server on asyncio with uvloop's loop instead of its own; nothing else is changed.

    run.py SERVER.py [ADDRESS]
"""

import os
import runpy
import sys

import uvloop

if __name__ == "__main__":
    del sys.argv[0]
    sys.path[0] = os.path.dirname(sys.argv[0])
    uvloop.install()
    runpy.run_path(sys.argv[0], run_name="__main__")
