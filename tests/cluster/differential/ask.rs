//! Sends questions to a DNS server over TCP and brings the answers into a form that can be compared.

use std::{fmt, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, Record, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// The time limit of a question. It turns a hang into a failure; no assertion depends on it.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A client that sends one question after another over one connection.
pub(super) struct TcpClient {
    stream: TcpStream,
    id: u16,
}

/// An answer. The records of each section are sorted, because their order does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: String,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<TextRecord>,
    pub(super) authorities: Vec<TextRecord>,
    pub(super) additionals: Vec<TextRecord>,
}

/// One record as text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TextRecord {
    pub(super) owner: String,
    pub(super) data: String,
    pub(super) ttl: u32,
}

impl TcpClient {
    pub(super) async fn connect(addr: SocketAddr) -> Self {
        let stream = timeout(ANSWER_LIMIT, TcpStream::connect(addr)).await.expect("a connection").unwrap();
        Self { stream, id: 0 }
    }

    pub(super) async fn ask(&mut self, name: &str, rtype: u16) -> Answer {
        self.id = self.id.wrapping_add(1);
        let bytes = question(self.id, name, rtype).to_vec().unwrap();
        let response = timeout(ANSWER_LIMIT, self.exchange(&bytes)).await;
        let response = response.unwrap_or_else(|_| panic!("no answer to type {rtype} {name} within {ANSWER_LIMIT:?}"));
        assert_eq!(response.metadata.id, self.id);
        Answer::from(&response)
    }

    async fn exchange(&mut self, bytes: &[u8]) -> Message {
        let length = u16::try_from(bytes.len()).unwrap();
        self.stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await.unwrap();
        let length = self.stream.read_u16().await.unwrap();
        let mut answer = vec![0; length.into()];
        self.stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }
}

/// Asks over UDP with room for `room` octets (512 means without EDNS). Returns whether the answer was truncated, and
/// its length.
pub(super) async fn by_udp(addr: SocketAddr, name: &str, rtype: u16, room: u16) -> (bool, usize) {
    let mut message = question(1, name, rtype);
    if room > 512 {
        message.edns.get_or_insert_default().set_max_payload(room);
    }
    let socket = UdpSocket::bind((if addr.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(&message.to_vec().unwrap()).await.unwrap();
    let mut answer = vec![0; 65_535];
    let length = timeout(ANSWER_LIMIT, socket.recv(&mut answer)).await.expect("an answer").unwrap();
    let answer = Message::from_vec(&answer[..length]).unwrap();
    (answer.metadata.truncation, length)
}

fn question(id: u16, name: &str, rtype: u16) -> Message {
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::from(rtype)));
    message
}

impl From<&Message> for Answer {
    fn from(message: &Message) -> Self {
        Self {
            code: message.metadata.response_code.to_string(),
            authoritative: message.metadata.authoritative,
            answers: sorted(&message.answers),
            authorities: sorted(&message.authorities),
            additionals: sorted(&message.additionals),
        }
    }
}

fn sorted(records: &[Record]) -> Vec<TextRecord> {
    let text = |record: &Record| {
        let data = match &record.data {
            // Without the serial, which is a time.
            RData::SOA(soa) => format!("{} {} minimum {}", soa.mname, soa.rname, soa.minimum),
            data => data.to_string(),
        };
        let data = format!("{} {data}", record.record_type());
        TextRecord { owner: record.name.to_ascii(), data, ttl: record.ttl }
    };
    let mut records: Vec<TextRecord> = records.iter().map(text).collect();
    records.sort();
    records
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.code, if self.authoritative { " aa" } else { "" })?;
        for (section, records) in
            [("", &self.answers), ("authority ", &self.authorities), ("additional ", &self.additionals)]
        {
            for TextRecord { owner, data, ttl } in records {
                write!(f, "\n      {section}{owner} {ttl} {data}")?;
            }
        }
        Ok(())
    }
}
