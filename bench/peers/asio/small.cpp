/* SPDX-License-Identifier: MIT */
/* The smallest things on Boost.Asio, with coroutines: to post oneself is how they yield. */
#include "../small.h"

#include <utility> /* which awaitable.hpp forgets */

#include <boost/asio.hpp>
#include <chrono>
#include <vector>

namespace asio = boost::asio;
using asio::awaitable;
using asio::steady_timer;
using asio::use_awaitable;

static asio::io_context context(1);

/* Until nothing is left to be done. */
static void run()
{
    context.restart();
    context.run();
}

static awaitable<void> yield_often()
{
    for (int i = 0; i < YIELDS; i++)
        co_await asio::post(context, use_awaitable);
}

static double measure_pair()
{
    double began = now();

    asio::co_spawn(context, yield_often(), asio::detached);
    asio::co_spawn(context, yield_often(), asio::detached);
    run();
    return (now() - began) / 2 / (double)YIELDS;
}

static awaitable<void> nothing()
{
    co_return;
}

static void spawn_crowd()
{
    for (int i = 0; i < CROWD; i++)
        asio::co_spawn(context, nothing(), asio::detached);
    run();
}

static double measure_spawn()
{
    return median_of_crowds(spawn_crowd);
}

static void set_timer(steady_timer &timer, std::uint64_t &random)
{
    timer.expires_after(std::chrono::nanoseconds(some_time(&random)));
    timer.async_wait([](const boost::system::error_code &) {});
}

/* To cancel is also to let the handler be told of it. */
static double measure_timers()
{
    std::vector<steady_timer> others;
    std::uint64_t random = 1;
    steady_timer timer(context);
    double began, ended;

    others.reserve(MANY);
    for (int i = 0; i < MANY; i++)
        set_timer(others.emplace_back(context), random);
    context.restart();
    began = now();
    for (int i = 0; i < TIMERS; i++) {
        set_timer(timer, random);
        timer.cancel();
        if (i % CROWD == 0)
            context.poll();
    }
    ended = now();
    others.clear();
    run();
    return (ended - began) / (double)TIMERS;
}

static awaitable<void> wait_for_ever()
{
    steady_timer timer(context, steady_timer::time_point::max());

    co_await timer.async_wait(use_awaitable);
}

static void park(int count)
{
    for (int i = 0; i < count; i++)
        asio::co_spawn(context, wait_for_ever(), asio::detached);
    context.poll(); /* each has begun */
    stay_parked();
}

int main(int argc, char **argv)
{
    static const struct small rows[] = {
        {"pair", measure_pair}, {"spawn", measure_spawn}, {"timers", measure_timers}};
    int parked = parked_asked(argc, argv);

    if (parked > 0)
        park(parked);
    else
        measure_all(rows, 3, rounds_asked(argc, argv));
    return 0;
}
