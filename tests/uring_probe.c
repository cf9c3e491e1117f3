/* SPDX-License-Identifier: MIT */
/* Run when the build is configured: 0 where the tests of the back end on io_uring can be run. */
#include <liburing.h>

int main(void)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    return io_uring_queue_init_params(8, &ring, &params) == 0 ? 0 : 1;
}
