# SPDX-License-Identifier: MIT
"""Evert's tasks in gdb: `info evert-tasks` and `evert-task`, for processes and for core files, and
`evert-core`, which makes one.

Nothing of the process is called or changed; all is read from its memory. A task that does not run
has its registers saved, and to see its frames gdb is told, by an unwinder, that the innermost frame
of the thread was called from there. So the task's frames are those behind that one.
"""

import struct
import time

import gdb
from gdb.unwinder import Unwinder

MOST_LINKS = 10_000_000  # of a list; a longer one is broken, and a ring that does not close

# Where the switch in assembly leaves the registers, from the saved stack pointer up; how much of
# the stack that is; and where ucontext has them: an array, the indices in it, other members, and
# which one says where it goes on. The names are gdb's.
SAVED_BY_ASSEMBLY = {
    "i386:x86-64": (["r15", "r14", "r13", "r12", "rbx", "rbp", "rip"], "rsp", 56),
    "aarch64": ([f"x{n}" for n in range(19, 31)], "sp", 160),
}
SAVED_BY_UCONTEXT = {
    "i386:x86-64": ("gregs", {"r12": 4, "r13": 5, "r14": 6, "r15": 7, "rbp": 10, "rbx": 11,
                              "rsp": 15, "rip": 16}, [], "rip"),
    "i386": ("gregs", {"edi": 4, "esi": 5, "ebp": 6, "esp": 7, "ebx": 8, "eip": 14}, [], "eip"),
    "aarch64": ("regs", {f"x{n}": n for n in range(19, 31)}, ["sp", "pc"], "pc"),
}


def complain(words):
    raise gdb.GdbError(words)


# ---- Reading ----


def type_of(name, block=None):
    try:
        return gdb.lookup_type(name, block) if block else gdb.lookup_type(name)
    except gdb.error:
        return complain(f"there is no debug information on Evert itself: {name} is not known")


def container(link, name, member, block=None):
    """The struct of that name, of whose member this is the address."""
    kind = type_of(name, block)
    offset = 0
    for part in member.split("."):
        field = next(field for field in (kind if not offset else within).fields()
                     if field.name == part)
        within = field.type.strip_typedefs()
        offset += field.bitpos // 8
    return gdb.Value(int(link) - offset).cast(kind.pointer()).dereference()


def links(head):
    """The addresses of the links on a list."""
    here, first = int(head["next"]), int(head.address)
    for _ in range(MOST_LINKS):
        if here == first:
            return
        if here == 0:
            break
        yield here
        here = int(gdb.Value(here).cast(head.type.pointer())["next"])
    complain("a list of Evert's is broken. If this is a core file that gdb has made, a part of the "
             "memory may be missing in it: make one with evert-core")


def function_at(address):
    """The symbol of a function, and not of one that its code begins with; or None."""
    found, block = None, gdb.block_for_pc(address)
    while block is not None:
        found, block = block.function or found, block.superblock
    return found


def text(pointer):
    """A string, or nothing where there is none to be read."""
    try:
        return pointer.string(errors="replace") if int(pointer) else ""
    except gdb.error:
        return "?"


def counted(number, word):
    return f"{number or 'no'} {word}{'s' * (number != 1)}"


def short(place):
    return place.rpartition("/")[2]


def span(nanoseconds):
    seconds = nanoseconds / 1e9
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds * 1e6:.0f} us"


def clock(loop):
    """The time of the process: now, or in a core file that of the loop's last turn."""
    return seen.now if seen.now is not None else int(loop["now"])


def machine():
    return gdb.selected_inferior().architecture().name()


def word_at(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def saved_registers(context):
    """What is to be restored when somebody switches to this context."""
    names = {field.name for field in context.type.fields()}
    if machine() not in (SAVED_BY_ASSEMBLY if "stack_pointer" in names else SAVED_BY_UCONTEXT):
        complain(f"Evert's script does not know the registers of {machine()}")
    if "stack_pointer" in names:
        order, stack, size = SAVED_BY_ASSEMBLY[machine()]
        at = int(context["stack_pointer"])
        registers = {name: word_at(at + 8 * index) for index, name in enumerate(order)}
        if "x30" in registers:
            registers["pc"] = registers["x30"]
        return registers | {stack: at + size}
    array, indices, rest, pc = SAVED_BY_UCONTEXT[machine()]
    saved = context["machine"]["uc_mcontext"]
    word = gdb.lookup_type("unsigned long")
    registers = {name: int(saved[array][index].cast(word)) for name, index in indices.items()}
    registers |= {name: int(saved[name].cast(word)) for name in rest}
    # Of a caller gdb looks up the byte before the place where it goes on, since that is behind a
    # call. Where nothing has run yet that would be outside of the function.
    function = function_at(registers[pc])
    if function is not None and int(function.value().address) == registers[pc]:
        registers[pc] += 1
    return registers


def stack_pointer(registers):
    return next(registers[name] for name in ("rsp", "esp", "sp") if name in registers)


# ---- The frames of a task ----


class InTask(Unwinder):
    """While it has registers, the thread's innermost frame is followed by the task's."""

    def __init__(self):
        super().__init__("evert-task")
        self.registers = self.sp = self.pc = self.level = None

    def __call__(self, pending):
        if self.registers is None:
            return None
        sp, pc = pending.read_register("sp"), pending.read_register("pc")
        if int(sp) != self.sp or int(pc) != self.pc:
            return None
        self.level = pending.level()
        info = pending.create_unwind_info(Id(stack_pointer(self.registers), pc))
        for name, value in self.registers.items():
            kind = pending.read_register(name).type
            info.add_saved_register(name, gdb.Value(value).cast(sp.type).cast(kind))
        return info

    def enter(self, registers):
        """Gives the task's innermost frame."""
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        self.sp, self.pc = int(frame.read_register("sp")), int(frame.read_register("pc"))
        self.registers, self.level = registers, None
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame()
        while frame is not None and (self.level is None or frame.level() <= self.level):
            frame = frame.older()
        return frame

    def leave(self, *_):
        if self.registers is not None:
            self.registers = self.level = None
            gdb.invalidate_cached_frames()


class Id:
    """Of a frame."""

    def __init__(self, sp, pc):
        self.sp = gdb.Value(sp).cast(pc.type)
        self.pc = pc


def is_behind_a_stack(frame):
    """Where makecontext(3) made a stack: its first frame, which is the C library's, and the one at
    address 0, or at the first word of the stack, that gdb makes up behind."""
    behind = frame.older()
    return frame.pc() == 0 or frame.name() == "makecontext" or (
        behind is not None and behind.pc() == 0)


class OnlyTheTask:
    """A filter of what `bt` shows of a task: its own frames."""

    name, priority, enabled = "evert-task", 1000, True

    @staticmethod
    def filter(frames):
        for frame in frames:
            if is_behind_a_stack(frame.inferior_frame()):
                return
            if in_task.level is None or frame.inferior_frame().level() > in_task.level:
                yield frame


class Selection:
    """What is selected before is selected again after."""

    def __enter__(self):
        self.thread = gdb.selected_thread()
        self.level = 0
        if self.thread is not None:
            self.level = gdb.selected_frame().level()

    def __exit__(self, *_):
        in_task.leave()
        if self.thread is None or not self.thread.is_valid() or self.thread.is_running():
            return
        self.thread.switch()
        frame = gdb.newest_frame()
        while frame.level() < self.level and frame.older() is not None:
            frame = frame.older()
        frame.select()


# ---- What a task waits for ----


def descriptor(stream):
    return f"on descriptor {int(stream['fd']['number'])}"


def address_of(listener):
    return "on " + text(listener["address"].address.cast(CHARS()))


def of_sleep(sleep, loop):
    left = int(sleep["timer"]["when"]) - clock(loop)
    return f"for {span(left)} more" if left > 0 else "which is over"


def of_join(join, _):
    joined = join["joined"]
    return f"of {int(joined['number'])} ({text(joined['name'])})"


def of_connecting(connecting, _):
    endpoint = connecting["connector"]["endpoint"]
    host, path = text(endpoint["host"].address.cast(CHARS())), text(
        endpoint["path"].address.cast(CHARS()))
    return f"to {path or host + ':' + str(int(endpoint['port']))}"


def of_file(wait, _):
    file = wait["file"]
    path = text(file["path"])
    return f"of {path}" if path else f"on descriptor {int(file['fd'])}"


def CHARS():
    return gdb.lookup_type("char").pointer()


# The function that ends a wait tells its kind: the struct that the wait lies in, and its words.
WAITS = {
    "stop_sleeping": ("struct sleep", of_sleep),
    "stop_joining": ("struct join", of_join),
    "stop_awaiting": ("struct await",
                      lambda w, _: f"of {short(text(w['awaiter']['deferred']['place']))}"),
    "stop_looking_up": ("struct looking_up", lambda *_: "that looks a name up"),
    "stop_accepting": ("struct accepting", lambda w, _: address_of(w["listener"])),
    "stop_serving": ("struct serving", lambda w, _: address_of(w["server"]["listener"])),
    "stop_parting": ("struct parting",
                     lambda w, _: f"for {counted(int(w['server']['leaving']), 'connection')}"),
    "stop_connecting": ("struct connecting", of_connecting),
    "stop_file": ("struct file_wait", of_file),
    "stop_reading": ("struct reading", lambda w, _: descriptor(w["stream"])),
    "stop_writing": ("struct writing", lambda w, _: descriptor(w["stream"])),
    "stop_own": ("struct own_op", lambda w, _: descriptor(w["stream"])),
    "stop_reading_in": ("struct sending", lambda w, _: f"for descriptor {int(w['file'])}"),
    "stop_waiting": ("struct closing", lambda w, _: descriptor(w["stream"])),
}


def words_of_wait(task, loop):
    """What exactly it waits for, if that is known."""
    waiter = task["waiter"]
    stop = int(waiter["cancel"])
    if stop == 0:
        scope = task["scope"]
        if int(scope) and int(scope["leaver"]) == int(waiter):
            return f"for {counted(int(scope['live']), 'task')}"
        return ""
    function = function_at(stop)
    if function is None or function.name not in WAITS:
        return ""
    name, words = WAITS[function.name]
    return words(container(waiter, name, "waiter", function.symtab.static_block()), loop)


# ---- Tasks and loops ----

# Where a stack begins; one on which nothing has run yet is there still.
FIRST_FUNCTIONS = {"evert__context_begin", "begin"}


class Task:
    """One task, or number 0: the stack that the loop itself runs on."""

    def __init__(self, loop, value):
        self.loop, self.value = loop, value
        self.address = int(value.address)
        self.is_root = bool(value["root"])
        self.number = int(value["number"])
        self.name = text(value["name"])
        self.children = []

    def title(self):
        number = f"{self.loop.number}.{self.number}" if self.loop.many else str(self.number)
        return f"{number} ({self.name})"

    def state(self):
        waiter = self.value["waiter"]
        if self.thread() is not None:
            return "blocking" if self.is_root else "running"
        if int(self.value["ready"]["link"]["next"]):
            return "ready"
        if int(waiter) and not waiter["done"]:
            return "blocking" if self.is_root else "parked"
        return "running" if self.loop.current == self.address else "starting"

    def registers(self):
        """Those that it goes on with, or None while a thread has it."""
        if self.thread() is not None:
            return None
        if not self.is_root and self.state() != "starting":
            return saved_registers(self.value["context"])
        if self.is_lost():
            complain(f"which thread runs loop {self.loop.number} is not known")
        registers = None
        for registers in self.loop.callers():
            if not self.is_root and self.has(stack_pointer(registers)):
                break
        return registers

    def is_lost(self):
        """Whether it is the loop's own stack, and no thread is known to run that."""
        return self.is_root and self.loop.thread is None and not self.loop.is_on_a_task()

    def has(self, address):
        return int(self.value["stack"]["low"]) <= address <= self.address

    def thread(self):
        """The thread that stands on this stack, or None."""
        if self.is_root:
            return None if self.loop.is_on_a_task() else self.loop.thread
        return next((thread for thread, stacks in seen.threads.items()
                     if any(self.has(sp) for sp in stacks)), None)

    def enter(self):
        """Makes the task's frames the selected ones; gives the innermost."""
        thread = self.thread()
        if thread is not None:
            thread.switch()
            return gdb.newest_frame()
        return in_task.enter(self.registers())

    def frames(self):
        frame = self.enter()
        for _ in range(100):
            if frame is None or is_behind_a_stack(frame):
                return
            yield frame
            frame = frame.older()

    def is_in_library(self, frame):
        source = frame.find_sal().symtab
        return source is not None and source.filename.startswith(self.loop.sources)

    def select(self):
        """Makes a frame the selected one: where the program called the library, if it did."""
        frame = innermost = self.enter()
        while frame is not None and self.is_in_library(frame):
            frame = frame.older()
        (frame or innermost).select()

    def where(self):
        """(the call of Evert's that it waits in, the place of that call), in words."""
        called = ""
        if self.is_lost():
            return "", ""
        for frame in self.frames():
            name = frame.name() or ""
            if not self.is_in_library(frame):
                if self.is_root and not called:
                    continue
                return called.removesuffix("_at"), line_of(frame)
            if name in FIRST_FUNCTIONS and not called:
                return "", "not begun"
            if name.startswith("evert_") and not name.startswith("evert__"):
                called = name
        # The function's last call, which took its place on the stack.
        return called.removesuffix("_at"), f"the end of {self.function()}"

    def function(self):
        """The name of the function that it runs, as far as that is the program's."""
        function = function_at(int(self.value["fn"]))
        if function is None or function.symtab.filename.startswith(self.loop.sources):
            return self.name
        return function.name

    def depth(self):
        thread = self.thread()
        if thread is not None:
            return next((self.address - sp for sp in seen.threads[thread] if self.has(sp)), 0)
        return self.address - stack_pointer(self.registers())


def line_of(frame):
    place = frame.find_sal()
    if place.symtab is None:
        return frame.name() or "?"
    return f"{short(place.symtab.filename)}:{place.line}"


class Seen:
    """What a command looks at once: the time, and for each thread the stack pointers of its frames.
    Of more than one, since a thread in a handler of signals may have another stack there."""

    def __init__(self):
        inferior = gdb.selected_inferior()
        is_live = inferior.connection is not None and inferior.connection.type == "native"
        self.now = time.monotonic_ns() if is_live else None
        self.threads = {}
        for thread in inferior.threads():
            if not thread.is_running():
                thread.switch()
                self.threads[thread] = list(self.stack_pointers())

    @staticmethod
    def stack_pointers():
        frame = gdb.newest_frame()
        for _ in range(64):
            if frame is None:
                return
            yield int(frame.read_register("sp"))
            frame = frame.older()


seen = None


class Loop:
    def __init__(self, value, symbol):
        self.value = value
        self.number = int(value["number"])
        self.current = int(value["current"])
        self.many = False
        # The library's sources are where the file of the list of loops is, one folder up.
        self.sources = symbol.symtab.filename.rpartition("/")[0].rpartition("/")[0] + "/"
        part = value["parts"][0]
        self.tasks = None
        if int(part):
            self.tasks = container(part, "struct evert__tasks", "part")
        self.thread = self.thread_that_runs(symbol)

    def thread_that_runs(self, symbol):
        if not self.value["running"]:
            return None
        running = symbol.symtab.objfile.lookup_global_symbol("evert__running")
        for thread in seen.threads:
            thread.switch()
            try:
                if int(running.value()) == int(self.value.address):
                    return thread
            except gdb.error:
                pass  # this thread has no such variable, or it cannot be read here
        return None

    def callers(self):
        """The registers of who made the running task run: the loop, or behind tasks that start
        another at once, the innermost first. Each such call has the one before in a variable."""
        context = self.tasks["context"]
        yield saved_registers(context)
        for _ in range(int(self.value["eager"])):
            frame = in_task.enter(saved_registers(context))
            while frame is not None and frame.name() != "evert__task_start":
                frame = frame.older()
            if frame is None:
                return
            context = frame.read_var("context")
            context.fetch_lazy()
            in_task.leave()
            yield saved_registers(context)

    def is_on_a_task(self):
        return any(task.thread() is not None for task in self.all_tasks())

    def all_tasks(self):
        if self.tasks is None:
            return
        for link in links(self.tasks["all"]):
            yield Task(self, container(link, "struct evert__task", "all"))

    def root(self):
        return Task(self, self.tasks["root"])

    def tree(self):
        """(depth, task), each behind its parent: whoever entered the scope it was spawned into."""
        tasks = {}
        root = self.root() if self.tasks is not None else None
        for task in self.all_tasks():
            tasks[task.address] = task
        if root is not None:
            tasks[root.address] = root
        top = []
        for task in tasks.values():
            home = task.value["home"]
            parent = tasks.get(int(home["owner"])) if int(home) else None
            (top if parent is None else parent.children).append(task)
        if root is not None and not root.children and not int(root.value["waiter"]):
            top.remove(root)
        waiting = [(0, task) for task in reversed(top)]
        while waiting:
            depth, task = waiting.pop()
            yield depth, task
            waiting += [(depth + 1, child) for child in reversed(task.children)]


def is_inherited(loop, symbol):
    """Whether it is the copy of a loop that a parent process has."""
    page = symbol.symtab.objfile.lookup_global_symbol("evert__fork_page").value()
    return not int(page) or int(page.dereference()) != int(loop["birth"])


def all_loops():
    found = {}
    known = False
    for objfile in gdb.objfiles():
        symbol = objfile.lookup_global_symbol("evert__loops")
        if symbol is None:
            continue
        known = True
        if symbol.type.code != gdb.TYPE_CODE_STRUCT:
            continue
        for link in links(symbol.value()):
            loop = container(link, "struct evert_loop", "all")
            if not is_inherited(loop, symbol):
                found[link] = Loop(loop, symbol)
    if not known:
        complain("no Evert with debug information is in this process")
    for loop in found.values():
        loop.many = len(found) > 1
    return list(found.values())


def look():
    global seen  # pylint: disable=global-statement
    if not gdb.selected_inferior().threads():
        complain("there is no process and no core file")
    seen = Seen()


# ---- The commands ----


def row_of(depth, task):
    state = task.state()
    call, place = task.where()
    in_task.leave()
    since = ""
    if state in ("parked", "blocking"):
        since = span(max(0, clock(task.loop.value) - int(task.value["waiter"]["since"])))
        call = f"{call} {words_of_wait(task.value, task.loop.value)}".rstrip()
    elif state == "ready":
        call = ""
    used = "" if task.is_root else f"{task.depth() / 1024:5.1f} KiB"
    return [str(task.number), "  " * depth + task.name, state, since, call, place,
            short(text(task.value["place"])), used]


HEAD = ["No", "Task", "State", "Since", "Waits in", "At", "Spawned at", "Stack"]


class InfoTasks(gdb.Command):
    """Lists the tasks of all of Evert's loops.

Usage: info evert-tasks

Each task stands below the one that spawned it. Its number is for `evert-task`. Shown are its
state, since when it waits, the call that it waits in, and for what; the place of that call, the
place where it was spawned, and how much of its stack is in use."""

    def __init__(self):
        super().__init__("info evert-tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, _):
        if argument:
            complain("info evert-tasks takes no argument")
        with Selection():
            look()
            loops = all_loops()
            for loop in loops:
                self.show(loop)
            if not loops:
                print("There is no loop.")

    @staticmethod
    def show(loop):
        rows = [row_of(depth, task) for depth, task in loop.tree()]
        by = f", run by thread {loop.thread.num}" if loop.thread is not None else ""
        print(f"Loop {loop.number}{by}: {counted(sum(row[0] != '0' for row in rows), 'task')}")
        if not rows:
            return
        widths = [max(len(row[i]) for row in rows + [HEAD]) for i in range(len(HEAD))]
        for row in [HEAD, *rows]:
            print("  " + "  ".join(
                cell.rjust(width) if name == "No" else cell.ljust(width)
                for cell, width, name in zip(row, widths, HEAD)).rstrip())


class CoreFile(gdb.Command):
    """Makes a core file of the process, with the stacks of all its tasks.

Usage: evert-core [FILE]

As generate-core-file does, which leaves a part of memory out as soon as it meets something there
that cannot be read. The guards below the stacks of tasks are that. This reads on behind them."""

    PIECE, PAGE = 1 << 20, 4096

    def __init__(self):
        super().__init__("evert-core", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, _):
        inferior = gdb.selected_inferior()
        name = argument.strip() or f"core.{inferior.pid}"
        gdb.execute(f"generate-core-file {name}", to_string=True)
        with open(name, "r+b") as file:
            for at, address, size in self.segments(file):
                self.complete(file, inferior, at, address, size)
        print(f"Saved {name}, with all stacks; memory that cannot be read is their guards.")

    @staticmethod
    def segments(file):
        """(place in the file, address, size) of each piece of memory in an ELF file."""
        head = file.read(64)
        is_wide = head[4] == 2  # words of 64 bits, and not of 32
        order = "<" if head[5] == 1 else ">"
        start, = struct.unpack_from(order + ("Q" if is_wide else "I"), head, 32 if is_wide else 28)
        entry, count = struct.unpack_from(order + "HH", head, 54 if is_wide else 42)
        piece = order + ("I4xQQ8xQ" if is_wide else "III4xI")
        file.seek(start)
        entries = file.read(entry * count)
        for i in range(count):
            kind, at, address, size = struct.unpack_from(piece, entries, i * entry)
            if kind == 1:
                yield at, address, size

    def complete(self, file, inferior, at, address, size):
        """From the first piece on that cannot be read whole, each page that can be read."""
        is_complete = True
        for offset in range(0, size, self.PIECE):
            piece = min(self.PIECE, size - offset)
            if self.read(inferior, address + offset, piece) is None:
                is_complete = False
            if is_complete:
                continue
            for page in range(offset, offset + piece, self.PAGE):
                memory = self.read(inferior, address + page, min(self.PAGE, size - page))
                if memory is not None and any(memory):
                    file.seek(at + page)
                    file.write(memory)

    @staticmethod
    def read(inferior, address, size):
        try:
            return bytes(inferior.read_memory(address, size))
        except gdb.MemoryError:
            return None


class InTaskCommand(gdb.Command):
    """Runs a command of gdb in the context of a task of Evert's.

Usage: evert-task NUMBER COMMAND
       evert-task all COMMAND

NUMBER is that of `info evert-tasks`; where there are several loops, LOOP.NUMBER. 0 stands for
the stack that the loop itself runs on. `evert-task 3 bt` shows where task 3 is, and
`evert-task 3 info locals` what the function has that called Evert there. Other frames are
reached as in `evert-task 3 frame apply level 7 info locals`."""

    def __init__(self):
        super().__init__("evert-task", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        which, _, command = argument.strip().partition(" ")
        if not command.strip():
            complain("usage: evert-task NUMBER|all COMMAND")
        with Selection():
            look()
            if which == "all":
                for loop in all_loops():
                    for task in loop.all_tasks():
                        print(f"\nTask {task.title()}, {task.state()}:")
                        self.run(task, command, from_tty)
            else:
                self.run(find(which), command, from_tty)

    @staticmethod
    def run(task, command, from_tty):
        try:
            task.select()
            gdb.execute(command, from_tty)
        finally:
            in_task.leave()


def find(which):
    loop_number, dot, number = which.rpartition(".")
    if not number.isdigit() or (dot and not loop_number.isdigit()):
        complain(f"{which} is not the number of a task")
    found = []
    for loop in all_loops():
        if dot and loop.number != int(loop_number) or loop.tasks is None:
            continue
        if number == "0":
            found.append(loop.root())
        found += [task for task in loop.all_tasks() if task.number == int(number)]
    if not found:
        complain(f"there is no task {which}")
    if len(found) > 1:
        complain("there are several: " + ", ".join(task.title() for task in found))
    return found[0]


in_task = InTask()


def register():
    gdb.unwinder.register_unwinder(None, in_task, replace=True)
    gdb.frame_filters[OnlyTheTask.name] = OnlyTheTask()
    gdb.events.cont.connect(in_task.leave)
    InfoTasks()
    InTaskCommand()
    CoreFile()


register()
