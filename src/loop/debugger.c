/* SPDX-License-Identifier: MIT */
/*
 * What a debugger needs: the list of all loops of the process, and the script that walks from there
 * (tools/gdb/evert.py). The script lies in the library itself, in a section that gdb looks for, so
 * that it is there wherever the library is, linked in or shared, installed or not. The section is
 * not loaded into memory.
 */
#include "gdb_script.h"
#include "loop/loop.h"

struct evert__link evert__loops = {&evert__loops, &evert__loops};

static unsigned numbered;

void evert__loops_add(evert_loop *loop)
{
    evert__process_lock();
    loop->number = ++numbered;
    evert__list_append(&evert__loops, &loop->all);
    evert__process_unlock();
}

void evert__loops_remove(evert_loop *loop)
{
    evert__process_lock();
    evert__link_remove(&loop->all);
    evert__process_unlock();
}
