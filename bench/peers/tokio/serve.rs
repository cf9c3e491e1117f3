// SPDX-License-Identifier: MIT
//! What the servers on Tokio share: a task for each connection, all in the main thread.

use std::{env, future::Future, io, net::SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

pub async fn serve<F>(serve_guest: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let address = env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:9999".into());
    let address: SocketAddr = address
        .trim_start_matches("tcp://")
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(4096)?;
    println!("listening on tcp://{}", listener.local_addr()?);
    loop {
        // until SIGTERM ends the process
        let (guest, _) = listener.accept().await?;
        guest.set_nodelay(true)?;
        tokio::spawn(serve_guest(guest));
    }
}
