//! Reads the datagrams of all clients of one address.

use std::{io, sync::Arc, time::Duration};

use super::{BATCH, SHARED, Table};

/// When the socket itself fails, which an ICMP error does not make it do.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads until it is aborted.
pub(in crate::forward) async fn serve(table: Arc<Table>) {
    loop {
        let failed = match table.socket.readable().await {
            Ok(()) => read(&table).is_err(),
            Err(_) => true,
        };
        if failed {
            tokio::time::sleep(PAUSE).await;
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// Reads what has arrived, but not more than a batch.
fn read(table: &Arc<Table>) -> io::Result<()> {
    SHARED.with_borrow_mut(|buffer| {
        for _ in 0..BATCH {
            match table.socket.try_recv_from(buffer) {
                Ok((n, client)) => table.forward(client, buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // What was sent to somebody has not arrived.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
}
