/* SPDX-License-Identifier: MIT */
/* What the servers on Boost.Asio share: a coroutine of C++20 for each connection, in one thread. */
#ifndef PEERS_ASIO_SERVE_HPP
#define PEERS_ASIO_SERVE_HPP

#include <utility> /* which Boost 1.74 uses and does not include */

#include <boost/asio.hpp>
#include <iostream>
#include <string>

namespace asio = boost::asio;
using asio::awaitable;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;
using boost::system::error_code;

using guest_fn = awaitable<void>(tcp::socket);

/* What a coroutine throws ends its own connection. */
inline awaitable<void> accept_all(tcp::acceptor &listener, guest_fn *serve_guest)
{
    for (;;) {
        auto guest = co_await listener.async_accept(use_awaitable);
        asio::co_spawn(listener.get_executor(), serve_guest(std::move(guest)), asio::detached);
    }
}

inline int serve(const std::string &address, guest_fn *serve_guest)
{
    auto port = std::stoi(address.substr(address.rfind(':') + 1));
    asio::io_context context(1); /* one thread */
    tcp::acceptor listener(context);

    listener.open(tcp::v4());
    listener.set_option(tcp::acceptor::reuse_address(true));
    listener.set_option(tcp::no_delay(true)); /* which what it accepts inherits */
    listener.bind({asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)});
    listener.listen(4096);
    std::cout << "listening on tcp://" << listener.local_endpoint() << std::endl;
    asio::co_spawn(context, accept_all(listener, serve_guest), asio::detached);
    context.run(); /* until SIGTERM ends the process */
    return 0;
}

#endif
