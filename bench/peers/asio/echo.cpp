/* SPDX-License-Identifier: MIT */
/* Sends every byte back as it came, on Boost.Asio. */
#include "serve.hpp"

#include <vector>

static awaitable<void> echo(tcp::socket guest)
{
    std::vector<char> data(64 * 1024);
    error_code error;

    for (;;) {
        auto size = co_await guest.async_read_some(asio::buffer(data),
                                                   redirect_error(use_awaitable, error));
        if (error)
            co_return;
        co_await asio::async_write(guest, asio::buffer(data, size), use_awaitable);
    }
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", echo);
}
