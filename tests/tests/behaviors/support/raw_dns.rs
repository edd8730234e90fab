//! A nameserver over UDP that a test programs message by message.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType, rdata::A};
use tokio::{net::UdpSocket, task::AbortHandle};

/// What the server sends for a query, and when.
pub(crate) type Replies = Vec<(Duration, Vec<u8>)>;

/// A nameserver on loopback. It ends when it is dropped.
pub(crate) struct RawDns {
    addr: SocketAddr,
    queries: Arc<Mutex<Vec<Message>>>,
    task: AbortHandle,
}

impl RawDns {
    /// Sends what `answer` returns for each query; it also gets the number of queries so far.
    pub(crate) async fn start(answer: impl Fn(&Message, usize) -> Replies + Send + 'static) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let addr = socket.local_addr().unwrap();
        let queries: Arc<Mutex<Vec<Message>>> = Arc::default();
        let seen = queries.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let Ok((len, from)) = socket.recv_from(&mut buffer).await else { continue };
                let query = Message::from_vec(&buffer[..len]).unwrap();
                let nth = {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push(query.clone());
                    seen.len()
                };
                for (delay, bytes) in answer(&query, nth) {
                    let socket = socket.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        socket.send_to(&bytes, from).await
                    });
                }
            }
        });
        Self { addr, queries, task: task.abort_handle() }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn queries(&self) -> Vec<Message> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for RawDns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The response with one A record for an A query, and with no records for any other; without EDNS.
pub(crate) fn answer(query: &Message) -> Message {
    let mut response = failure(query, ResponseCode::NoError);
    let asked = &query.queries[0];
    if asked.query_type == RecordType::A {
        let address = RData::A(A([10, 0, 0, 1].into()));
        response.answers.push(Record::from_rdata(asked.name.clone(), 5, address));
    }
    response
}

/// A response with this code, without EDNS.
pub(crate) fn failure(query: &Message, code: ResponseCode) -> Message {
    let mut response = query.clone();
    response.metadata.message_type = MessageType::Response;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.edns = None;
    response
}

/// The same with EDNS.
pub(crate) fn with_edns(mut response: Message) -> Message {
    response.edns = Some(Edns::new());
    response
}

/// Sends one message at once.
pub(crate) fn at_once(response: &Message) -> Replies {
    vec![(Duration::ZERO, response.to_vec().unwrap())]
}
