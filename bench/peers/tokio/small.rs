// SPDX-License-Identifier: MIT
//! The smallest things of Tokio, as bench/yield.c measures those of Evert:
//!
//!     small ROUNDS        prints one line of JSON: the nanoseconds of each round
//!     small park COUNT    says "ready" when so many tasks wait, until standard input ends

use std::future::{pending, Future};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::{sleep, Sleep};

const CROWD: usize = 1000;
const BATCHES: usize = 21;
const YIELDS: usize = 100 * 1000;
const MANY: usize = 1000 * 1000;

fn nanoseconds_each(began: Instant, count: usize) -> f64 {
    began.elapsed().as_nanos() as f64 / count as f64
}

async fn yield_often() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

async fn measure_pair() -> f64 {
    let began = Instant::now();
    let (one, other) = (tokio::spawn(yield_often()), tokio::spawn(yield_often()));
    one.await.unwrap();
    other.await.unwrap();
    nanoseconds_each(began, 2 * YIELDS)
}

async fn spawn_crowd() {
    let tasks: Vec<_> = (0..CROWD).map(|_| tokio::spawn(async {})).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn measure_spawn() -> f64 {
    let mut values = Vec::new();
    for _ in 0..BATCHES {
        let began = Instant::now();
        spawn_crowd().await;
        values.push(nanoseconds_each(began, CROWD));
    }
    values.sort_by(f64::total_cmp);
    values[BATCHES / 2]
}

/// To any moment of an hour that begins in an hour.
fn some_time(random: &mut u64) -> Duration {
    *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    Duration::from_secs(3600) + Duration::from_nanos(*random >> 22)
}

/// A timer is set when it is first asked whether it is time.
struct Set<'a>(Pin<&'a mut Sleep>);

impl Future for Set<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let _ = self.0.as_mut().poll(context);
        Poll::Ready(())
    }
}

async fn measure_timers() -> f64 {
    let mut random = 1;
    let mut others = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        let mut timer = Box::pin(sleep(some_time(&mut random)));
        Set(timer.as_mut()).await;
        others.push(timer);
    }
    let began = Instant::now();
    for _ in 0..MANY {
        let timer = sleep(some_time(&mut random));
        tokio::pin!(timer);
        Set(timer.as_mut()).await; // cancelled when it goes
    }
    nanoseconds_each(began, MANY)
}

async fn measure_all(rounds: usize) {
    let (mut pair, mut spawn, mut timers) = (vec![], vec![], vec![]);
    for _ in 0..rounds + 1 {
        pair.push(measure_pair().await);
        spawn.push(measure_spawn().await);
        timers.push(measure_timers().await);
    }
    for values in [&mut pair, &mut spawn, &mut timers] {
        values.remove(0); // the first time is not like the others
    }
    println!("{{\"pair\": {pair:?}, \"spawn\": {spawn:?}, \"timers\": {timers:?}}}");
}

async fn park(count: usize) {
    for _ in 0..count {
        tokio::spawn(pending::<()>());
    }
    tokio::task::yield_now().await; // each has begun
    println!("ready");
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |place: usize| words.get(place).and_then(|word| word.parse().ok());
    if words.get(1).map(String::as_str) == Some("park") {
        park(number(2).unwrap_or(1)).await;
    } else {
        measure_all(number(1).unwrap_or(5)).await;
    }
}
