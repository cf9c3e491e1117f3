// SPDX-License-Identifier: MIT
//! The greeting on Tokio: all names that came in one read are answered in one write.

mod serve;

use memchr::memmem;
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NAME_LIMIT: usize = 1024;

/// Without its end, a name can still be short enough if its CR has come and its LF has not.
fn is_too_long(name: &[u8]) -> bool {
    name.strip_suffix(b"\r").unwrap_or(name).len() > NAME_LIMIT
}

/// Answers every whole line and leaves the beginning of the next one. True: that is too long.
fn answer_lines(input: &mut Vec<u8>, output: &mut Vec<u8>) -> bool {
    let mut rest = &input[..];
    let mut too_long = false;
    while let Some(end) = memmem::find(rest, b"\r\n") {
        too_long = end > NAME_LIMIT;
        if too_long {
            break;
        }
        output.extend_from_slice(b"Hello, ");
        output.extend_from_slice(&rest[..end]);
        output.extend_from_slice(b"!\r\n");
        rest = &rest[end + 2..];
    }
    too_long = too_long || is_too_long(rest);
    if too_long {
        output.extend_from_slice(b"error: name too long\r\n");
    }
    let answered = input.len() - rest.len();
    input.drain(..answered);
    too_long
}

/// To close with input unread would reset the connection, and destroy the last answer.
async fn say_farewell(mut guest: TcpStream) -> io::Result<()> {
    guest.shutdown().await?;
    let mut nowhere = tokio::io::sink();
    let _ = timeout(Duration::from_secs(2), tokio::io::copy(&mut guest, &mut nowhere)).await;
    Ok(())
}

async fn greet(mut guest: TcpStream) -> io::Result<()> {
    let mut input = Vec::with_capacity(4096);
    let mut output = Vec::new();
    while guest.read_buf(&mut input).await? > 0 {
        let too_long = answer_lines(&mut input, &mut output);
        guest.write_all(&output).await?;
        output.clear();
        if too_long {
            return say_farewell(guest).await;
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    serve::serve(greet).await
}
