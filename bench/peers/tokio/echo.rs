// SPDX-License-Identifier: MIT
//! Sends every byte back as it came, on Tokio.

mod serve;

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn echo(mut guest: TcpStream) -> io::Result<()> {
    let mut data = vec![0; 64 * 1024];
    loop {
        let size = guest.read(&mut data).await?;
        if size == 0 {
            return Ok(());
        }
        guest.write_all(&data[..size]).await?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    serve::serve(echo).await
}
