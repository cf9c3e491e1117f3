/* SPDX-License-Identifier: MIT */
/* The daytime protocol (RFC 867), in callbacks: tells the time and hangs up. */
#include "many.h"

#include <time.h>

static int tell_time(evert_protocol *protocol)
{
    char words[80];
    struct tm utc;
    time_t now = time(NULL);

    strftime(words, sizeof(words), "%A, %B %d, %Y %H:%M:%S-UTC\r\n", gmtime_r(&now, &utc));
    evert_transport_puts(protocol->transport, words);
    evert_transport_lose_connection(protocol->transport);
    return 0;
}

static const evert_protocol_ops clock_ops = {.connection_made = tell_time};
evert_factory daytime = {evert_build_protocol, &clock_ops};
