/* SPDX-License-Identifier: MIT */
/* Drops what it reads and, at the peer's end, says how many bytes there were; on Boost.Asio. */
#include "serve.hpp"

#include <cstdint>

static awaitable<void> drop(tcp::socket guest)
{
    static char dropped[256 * 1024];
    std::uint64_t count = 0;
    error_code error;

    while (!error)
        count += co_await guest.async_read_some(asio::buffer(dropped),
                                                redirect_error(use_awaitable, error));
    if (error == asio::error::eof) {
        auto answer = std::to_string(count) + "\r\n";
        co_await asio::async_write(guest, asio::buffer(answer), use_awaitable);
    }
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", drop);
}
