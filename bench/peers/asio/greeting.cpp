/* SPDX-License-Identifier: MIT */
/*
 * The greeting on Boost.Asio: all names that came in one read are answered in one write.
 *
 * async_read_until() would find one line at a time, and would not tell of a name that is too long
 * until its buffer is full.
 */
#include "serve.hpp"

#include <memory>
#include <string_view>

static constexpr std::size_t name_limit = 1024;

/* Without its end, a name can still be short enough if its CR has come and its LF has not. */
static bool is_too_long(std::string_view name)
{
    return name.size() > name_limit + 1 ||
           (name.size() == name_limit + 1 && name[name_limit] != '\r');
}

/* Answers every whole line and leaves the beginning of the next one. True: that is too long. */
static bool answer_lines(std::string &in, std::string &out)
{
    std::string_view rest = in;
    std::size_t end;

    while ((end = rest.find("\r\n")) <= name_limit) {
        out.append("Hello, ").append(rest.substr(0, end)).append("!\r\n");
        rest.remove_prefix(end + 2);
    }
    bool too_long = end != rest.npos || is_too_long(rest);
    if (too_long)
        out.append("error: name too long\r\n");
    in.erase(0, in.size() - rest.size());
    return too_long;
}

/* To close with input unread would reset the connection, and destroy the last answer. */
static awaitable<void> say_farewell(tcp::socket guest)
{
    auto socket = std::make_shared<tcp::socket>(std::move(guest)); /* until the timer is done */
    asio::steady_timer timer(socket->get_executor(), std::chrono::seconds(2));
    char dropped[4096];
    error_code error;

    socket->shutdown(tcp::socket::shutdown_send);
    timer.async_wait([socket](error_code) { socket->close(); });
    while (!error)
        co_await socket->async_read_some(asio::buffer(dropped),
                                         redirect_error(use_awaitable, error));
}

static awaitable<void> greet(tcp::socket guest)
{
    std::string in, out;
    char chunk[4096];
    error_code error;

    for (;;) {
        auto size = co_await guest.async_read_some(asio::buffer(chunk),
                                                   redirect_error(use_awaitable, error));
        if (error)
            co_return;
        in.append(chunk, size);
        bool too_long = answer_lines(in, out);
        co_await asio::async_write(guest, asio::buffer(out), use_awaitable);
        out.clear();
        if (too_long)
            co_return co_await say_farewell(std::move(guest));
    }
}

int main(int argc, char **argv)
{
    return serve(argc > 1 ? argv[1] : "tcp://127.0.0.1:9999", greet);
}
