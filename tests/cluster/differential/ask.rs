//! Asks a server over TCP, and puts what it says into a form that can be compared.

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

const PATIENCE: Duration = Duration::from_secs(20);

/// One connection, one question after the other.
pub(super) struct Client {
    stream: TcpStream,
    id: u16,
}

/// An answer; the records of each section sorted, because the order is noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Told>,
    pub(super) authorities: Vec<Told>,
    pub(super) additionals: Vec<Told>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Told {
    pub(super) owner: String,
    pub(super) data: String,
    pub(super) ttl: u32,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(addr)).await.expect("a connection").unwrap();
        Self { stream, id: 0 }
    }

    pub(super) async fn ask(&mut self, name: &str, rtype: u16) -> Said {
        self.id = self.id.wrapping_add(1);
        let bytes = question(self.id, name, rtype).to_vec().unwrap();
        let response = timeout(PATIENCE, self.exchange(&bytes)).await;
        let response = response.unwrap_or_else(|_| panic!("no answer to {rtype} {name}"));
        assert_eq!(response.metadata.id, self.id);
        Said::of(&response)
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

/// Asks by UDP, with room for so many octets (512: without EDNS). Returns whether the answer was cut, and its length.
pub(super) async fn by_udp(addr: SocketAddr, name: &str, rtype: u16, room: u16) -> (bool, usize) {
    let mut message = question(1, name, rtype);
    if room > 512 {
        message.edns.get_or_insert_default().set_max_payload(room);
    }
    let socket = UdpSocket::bind((if addr.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).await.unwrap();
    socket.connect(addr).await.unwrap();
    socket.send(&message.to_vec().unwrap()).await.unwrap();
    let mut answer = vec![0; 65_535];
    let length = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("an answer").unwrap();
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

impl Said {
    fn of(message: &Message) -> Self {
        Self {
            code: message.metadata.response_code.to_string(),
            authoritative: message.metadata.authoritative,
            answers: sorted(&message.answers),
            authorities: sorted(&message.authorities),
            additionals: sorted(&message.additionals),
        }
    }
}

fn sorted(records: &[Record]) -> Vec<Told> {
    let told = |record: &Record| {
        let data = match &record.data {
            // The serial is a time.
            RData::SOA(soa) => format!("{} {} minimum {}", soa.mname, soa.rname, soa.minimum),
            data => data.to_string(),
        };
        let data = format!("{} {data}", record.record_type());
        Told { owner: record.name.to_ascii(), data, ttl: record.ttl }
    };
    let mut told: Vec<Told> = records.iter().map(told).collect();
    told.sort();
    told
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.code, if self.authoritative { " aa" } else { "" })?;
        for (section, records) in
            [("", &self.answers), ("authority ", &self.authorities), ("additional ", &self.additionals)]
        {
            for Told { owner, data, ttl } in records {
                write!(f, "\n      {section}{owner} {ttl} {data}")?;
            }
        }
        Ok(())
    }
}
