/* SPDX-License-Identifier: MIT */
/*
 * A connection that the administrator kills (F19). To do so takes a privilege, so the system's
 * answers are given by the tests, as Linux gives them: the code once, to the call that comes first,
 * and then what looks like a clean end.
 */
#include "support.h"

struct reader {
    evert_stream *s;
    int rc;
};

static int read_line(void *arg)
{
    struct reader *reader = (struct reader *)arg;
    evert_bytes bytes;
    reader->rc = evert_read_line(reader->s, &bytes);
    check_words(evert_describe(reader->rc), evert_strerror(-ECONNABORTED));
    return 0;
}

/* F19, F17: what had come before is still there, and the end that follows is not taken for one. */
static void test_a_reader_who_waits_is_told_and_loses_nothing(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        struct reader reader = {e.s, 1};
        evert_scope scope;
        evert_bytes bytes;

        peer_say(e.peer, "one\r\ntwo");
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "one");
        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, read_line, &reader), 0);
        wait_until(e.s->reader != NULL && evert__input_size(&e.s->in) == 3);
        answer(EVERT__SYS_RECV, -ECONNABORTED, 1);
        close(e.peer);
        check_rc(evert_scope_leave(&scope, 0), 0);
        answer_no_more();
        check_rc(reader.rc, -ECONNABORTED);
        check_rc(evert_read_exactly(e.s, &bytes, 3), 0);
        check_bytes(bytes, "two");
        for (int i = 0; i < 3; i++)
            check_count(evert_read(e.s, &bytes, 9), -ECONNABORTED);
        check_rc(evert_read_line(e.s, &bytes), -ECONNABORTED);
        check_rc(evert_close(e.s), 0);
    }
}

/* F19, S5: it breaks the write side, and bytes that had arrived are read before it is told. */
static void test_a_write_is_told_and_so_is_all_that_follows(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_ends((enum kind)kind);
        evert_bytes bytes;

        peer_say(e.peer, "line\r\n");
        wait_arrived(e.s->fd.number, strlen("line\r\n"));
        answer(EVERT__SYS_SEND, -ECONNABORTED, 1);
        int rc = evert_puts(e.s, "x");
        check_rc(rc < 0 ? rc : evert_flush(e.s), -ECONNABORTED);
        assert_int_equal(plan.times, 0);
        answer_no_more();
        check_words(evert_describe(-ECONNABORTED), evert_strerror(-ECONNABORTED));
        check_rc(evert_puts(e.s, "x"), -ECONNABORTED);
        check_rc(evert_flush(e.s), -ECONNABORTED);
        check_rc(evert_write_eof(e.s), -ECONNABORTED);
        check_rc(evert_read_line(e.s, &bytes), 0);
        check_bytes(bytes, "line");
        check_rc(evert_read_line(e.s, &bytes), -ECONNABORTED);
        check_rc(drop_ends(e), -ECONNABORTED);
    }
}

enum { LARGE = 4 << 20 };

struct writer {
    evert_stream *s;
    char *data;
    int rc;
};

static int write_much(void *arg)
{
    struct writer *writer = (struct writer *)arg;
    writer->rc = evert_write(writer->s, writer->data, LARGE);
    return 0;
}

/* Takes what there is. */
static void drain(int fd)
{
    static char bytes[65536];
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        continue;
}

/* F19 */
static void test_a_writer_who_waits_is_told(void **state)
{
    (void)state;
    for (int kind = TCP; kind <= UNIX; kind++) {
        struct ends e = make_narrow_ends((enum kind)kind);
        struct writer writer = {e.s, make_pattern(LARGE), 1};
        evert_scope scope;

        evert_scope_enter(&scope, evert_after(PATIENCE));
        check_rc(evert_spawn(&scope, write_much, &writer), 0);
        wait_until(e.s->sending);
        answer(EVERT__SYS_SEND, -ECONNABORTED, 1);
        wait_until((drain(e.peer), writer.rc != 1));
        answer_no_more();
        check_rc(evert_scope_leave(&scope, 0), 0);
        check_rc(writer.rc, -ECONNABORTED);
        assert_int_equal(e.s->out.queued, 0);
        check_rc(evert_flush(e.s), -ECONNABORTED);
        check_rc(drop_ends(e), -ECONNABORTED);
        free(writer.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        everywhere(test_a_reader_who_waits_is_told_and_loses_nothing),
        everywhere(test_a_write_is_told_and_so_is_all_that_follows),
        everywhere(test_a_writer_who_waits_is_told),
    };
    return run_table(tests);
}
