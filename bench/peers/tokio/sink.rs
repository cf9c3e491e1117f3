// SPDX-License-Identifier: MIT
//! Drops what it reads and, at the peer's end, says how many bytes there were; on Tokio.

mod serve;

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn drop_all(mut guest: TcpStream) -> io::Result<()> {
    let mut dropped = vec![0; 256 * 1024];
    let mut count = 0;
    loop {
        let size = guest.read(&mut dropped).await?;
        if size == 0 {
            break;
        }
        count += size;
    }
    guest.write_all(format!("{count}\r\n").as_bytes()).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    serve::serve(drop_all).await
}
