//! A minimal DNS client on hickory-proto.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Message, Query},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// Far above the duration of any step: reached only if a test fails.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn query(name: &str, qtype: RecordType) -> Message {
    let mut message = Message::query();
    let name = Name::from_ascii(name).expect("name");
    message.add_query(Query::query(name, qtype));
    message
}

pub(crate) fn with_edns(mut message: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

pub(crate) async fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    socket.connect(server).await.expect("connect");
    socket
}

pub(crate) async fn udp_bytes(server: SocketAddr, packet: &[u8]) -> Vec<u8> {
    let socket = socket(server).await;
    socket.send(packet).await.expect("send");
    let mut buffer = vec![0; 65_535];
    let length = timeout(TEST_TIMEOUT, socket.recv(&mut buffer)).await.expect("an answer in time").expect("receive");
    buffer.truncate(length);
    buffer
}

pub(crate) async fn udp(server: SocketAddr, message: &Message) -> Message {
    let bytes = udp_bytes(server, &message.to_vec().expect("encode")).await;
    let answer = Message::from_vec(&bytes).expect("decode");
    assert_eq!(answer.id, message.id);
    answer
}

pub(crate) async fn send_tcp(stream: &mut TcpStream, message: &Message) {
    let bytes = message.to_vec().expect("encode");
    let length = u16::try_from(bytes.len()).expect("length");
    stream.write_u16(length).await.expect("write");
    stream.write_all(&bytes).await.expect("write");
}

pub(crate) async fn receive_tcp(stream: &mut TcpStream) -> Message {
    let receive = async {
        let length = stream.read_u16().await.expect("length");
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.expect("read");
        Message::from_vec(&bytes).expect("decode")
    };
    timeout(TEST_TIMEOUT, receive).await.expect("an answer in time")
}

pub(crate) async fn tcp(server: SocketAddr, message: &Message) -> Message {
    let mut stream = TcpStream::connect(server).await.expect("connect");
    send_tcp(&mut stream, message).await;
    receive_tcp(&mut stream).await
}

pub(crate) fn addresses(message: &Message) -> Vec<String> {
    let addresses = message.answers.iter().filter_map(|r| match &r.data {
        RData::A(ip) => Some(ip.to_string()),
        RData::AAAA(ip) => Some(ip.to_string()),
        _ => None,
    });
    let mut addresses: Vec<String> = addresses.collect();
    addresses.sort();
    addresses
}
