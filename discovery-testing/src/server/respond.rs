//! From the bytes of a query to the bytes of its answer. No sockets.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    ProtoError,
    op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::DNSClass,
};

use crate::{
    dns::Shared,
    name::normalize,
    query::{QType, ReceivedQuery, Transport},
    script::Action,
    zone::Answer,
};

/// The size that a client accepts over UDP unless it says otherwise (RFC 1035 section 4.2.1, RFC 6891 section 6.2.5).
const MIN_UDP: usize = 512;
/// The largest message over TCP (RFC 1035 section 4.2.2).
const MAX_TCP: usize = u16::MAX as usize;

/// The reply to one packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    Send {
        delay: Duration,
        bytes: Vec<u8>,
    },
    /// Closes a TCP connection; the same as `Nothing` over UDP.
    Disconnect,
}

impl Reply {
    fn new(delay: Duration, bytes: Option<Vec<u8>>) -> Self {
        bytes.map_or(Self::Nothing, |bytes| Self::Send { delay, bytes })
    }
}

pub(super) fn respond(shared: &Shared, packet: &[u8], transport: Transport, from: SocketAddr) -> Reply {
    let Ok(request) = Message::from_vec(packet) else {
        return Reply::new(Duration::ZERO, malformed(packet));
    };
    if request.message_type == MessageType::Response {
        return Reply::Nothing;
    }
    let refuse = |code| Reply::new(Duration::ZERO, refusal(&request, code));
    let query = match (request.op_code, request.queries.as_slice()) {
        (OpCode::Query, [query]) => query,
        (OpCode::Query, _) => return refuse(ResponseCode::FormErr),
        _ => return refuse(ResponseCode::NotImp),
    };
    let name = query.name.to_ascii();
    let qtype = QType::from(u16::from(query.query_type));
    let received = ReceivedQuery { name: normalize(&name), qtype, transport, from, dropped: false };
    let (verdict, answer) = shared.answer(received, &name, query.query_class == DNSClass::IN);
    let bytes = match verdict.action {
        Action::Drop => None,
        Action::Disconnect => return Reply::Disconnect,
        Action::Garbage => Some(garbage(request.id)),
        Action::Raw(bytes) => Some(bytes),
        Action::RawWithId(bytes) => Some(with_id(bytes, request.id)),
        Action::Truncate(kept) => encode(&request, &answer, Some(kept), transport),
        _ => encode(&request, &answer, None, transport),
    };
    Reply::new(verdict.delay, bytes)
}

/// Encodes an answer; SERVFAIL if that fails. `kept` is the number of records that a truncated answer keeps.
fn encode(request: &Message, answer: &Answer, kept: Option<usize>, transport: Transport) -> Option<Vec<u8>> {
    try_encode(request, answer, kept, transport).ok().or_else(|| refusal(request, ResponseCode::ServFail))
}

fn try_encode(
    request: &Message,
    answer: &Answer,
    kept: Option<usize>,
    transport: Transport,
) -> Result<Vec<u8>, ProtoError> {
    let mut message = response(request);
    answer.write_to(&mut message)?;
    if let Some(kept) = kept {
        message = keep(&message, kept);
        message.metadata.truncation = true;
    }
    let limit = match (transport, &request.edns) {
        (Transport::Tcp, _) => MAX_TCP,
        (Transport::Udp, None) => MIN_UDP,
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload()).max(MIN_UDP),
    };
    fit(message, limit)
}

/// Encodes a message into at most `limit` bytes. Records are dropped from the end, so the Additional section goes
/// first. TC is set whichever record was dropped (miekg/dns `msg_truncate.go`).
///
/// hickory-proto compresses only the first 120 names of a message. 64 KiB over TCP therefore hold about 725 SRV records
/// here, and more from CoreDNS.
fn fit(mut message: Message, limit: usize) -> Result<Vec<u8>, ProtoError> {
    let whole = message.to_vec()?;
    if whole.len() <= limit {
        return Ok(whole);
    }
    message.metadata.truncation = true;
    let total = message.all_sections().count();
    let (mut fits, mut over) = (0, total);
    while over - fits > 1 {
        let middle = fits.midpoint(over);
        if keep(&message, middle).to_vec()?.len() <= limit {
            fits = middle;
        } else {
            over = middle;
        }
    }
    keep(&message, fits).to_vec()
}

/// Keeps the first `records` of all sections, in order.
fn keep(message: &Message, records: usize) -> Message {
    let mut kept = message.clone();
    let mut left = records;
    for section in [&mut kept.answers, &mut kept.authorities, &mut kept.additionals] {
        section.truncate(left);
        left -= section.len();
    }
    kept
}

/// Returns a response header with the id of the query, followed by a query and an answer that do not parse.
fn garbage(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0x3f, 0xff, 0xff]);
    bytes
}

/// Overwrites the first two octets with the id of the query.
fn with_id(mut bytes: Vec<u8>, id: u16) -> Vec<u8> {
    for (octet, of_id) in bytes.iter_mut().zip(id.to_be_bytes()) {
        *octet = of_id;
    }
    bytes
}

/// Returns the frame of an answer: id and flags of the request, its query, and EDNS if the request had it.
fn response(request: &Message) -> Message {
    let mut message = Message::response(request.id, request.op_code);
    message.metadata = Metadata::response_from_request(&request.metadata);
    message.queries.clone_from(&request.queries);
    message.edns = request.edns.as_ref().map(|theirs| {
        let mut ours = Edns::new();
        ours.set_max_payload(theirs.max_payload());
        ours
    });
    message
}

fn refusal(request: &Message, code: ResponseCode) -> Option<Vec<u8>> {
    let mut message = response(request);
    message.metadata.response_code = code;
    message.to_vec().ok()
}

/// Returns FORMERR for a packet that does not parse, if its id can be read; nothing for a stray response.
fn malformed(packet: &[u8]) -> Option<Vec<u8>> {
    let (id, flags) = packet.split_first_chunk::<2>()?;
    if flags.first().is_some_and(|first| first & 0x80 != 0) {
        return None;
    }
    let id = u16::from_be_bytes(*id);
    let message = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
    message.to_vec().ok()
}
