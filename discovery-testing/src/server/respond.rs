//! From the bytes of a question to the bytes of its answer: everything but the sockets.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    ProtoError,
    op::{Edns, Message, MessageType, Metadata, OpCode, Query},
    rr::DNSClass,
};

use super::wire;
use crate::{
    dns::Shared,
    name::normalize,
    question::{Asked, QType, Transport},
    script::{Action, Verdict},
    zone::{Answer, Data, Rcode},
};

/// Octets that a client accepts over UDP if it does not say (RFC 1035 section 4.2.1, RFC 6891 section 6.2.5).
const MIN_UDP: usize = 512;
/// The length field of a message over TCP (RFC 1035 section 4.2.2).
const MAX_TCP: usize = u16::MAX as usize;

/// What to do about one packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) delay: Duration,
    pub(super) bytes: Option<Vec<u8>>,
    /// Close the connection, if it is one.
    pub(super) close: bool,
}

impl Reply {
    fn now(bytes: Option<Vec<u8>>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

pub(super) fn respond(shared: &Shared, packet: &[u8], transport: Transport, from: SocketAddr) -> Reply {
    let Ok(request) = Message::from_vec(packet) else {
        return Reply::now(malformed(packet));
    };
    if request.message_type == MessageType::Response {
        return Reply::default();
    }
    let question = match (request.op_code, request.queries.as_slice()) {
        (OpCode::Query, [question]) => question,
        (OpCode::Query, _) => return Reply::now(refusal(&request, Rcode::FormErr)),
        _ => return Reply::now(refusal(&request, Rcode::NotImp)),
    };
    let (verdict, answer) = consult(shared, question, transport, from);
    let bytes = match &verdict.action {
        Action::Drop | Action::Disconnect => None,
        Action::Garbage => Some(wire::garbage(request.id)),
        Action::Raw(bytes) => Some(bytes.clone()),
        action => {
            let kept = match action {
                Action::Truncate(kept) => Some(*kept),
                _ => None,
            };
            encode(&request, &answer, kept, transport).ok().or_else(|| refusal(&request, Rcode::ServFail))
        }
    };
    Reply { delay: verdict.delay, bytes, close: verdict.action == Action::Disconnect }
}

/// Records the question and asks the script and the zone about it.
fn consult(shared: &Shared, question: &Query, transport: Transport, from: SocketAddr) -> (Verdict, Answer) {
    let name = question.name.to_ascii();
    let qtype = QType::from(u16::from(question.query_type));
    let mut asked = Asked { name: normalize(&name), qtype, transport, from, dropped: false };
    let mut state = shared.lock();
    let verdict = state.script.decide(&asked);
    asked.dropped = matches!(verdict.action, Action::Drop | Action::Disconnect);
    let mut answer = match verdict.action {
        Action::ServFail => Answer::code(Rcode::ServFail),
        Action::Refuse => Answer::code(Rcode::Refused),
        Action::NxDomain => state.zone.negative(&name, Rcode::NxDomain),
        Action::NoData => state.zone.negative(&name, Rcode::NoError),
        _ if question.query_class != DNSClass::IN => Answer::code(Rcode::Refused),
        _ => state.zone.answer(&name, qtype),
    };
    state.order.apply(&mut answer);
    state.journal.push(asked);
    drop(state);
    shared.announce();
    if let Some(ttl) = verdict.ttl {
        for record in answer.sections_mut() {
            record.ttl = ttl;
            if let Data::Soa { minimum, .. } = &mut record.data {
                *minimum = ttl;
            }
        }
    }
    (verdict, answer)
}

fn encode(
    request: &Message,
    answer: &Answer,
    kept: Option<usize>,
    transport: Transport,
) -> Result<Vec<u8>, ProtoError> {
    let mut message = response(request);
    wire::fill(&mut message, answer)?;
    // A resolver answers for the names outside the cluster, and it does recursion.
    message.metadata.recursion_available = !answer.authoritative;
    if let Some(kept) = kept {
        message = wire::keep(&message, kept);
        message.metadata.truncation = true;
    }
    let limit = match (transport, &request.edns) {
        (Transport::Tcp, _) => MAX_TCP,
        (Transport::Udp, None) => MIN_UDP,
        (Transport::Udp, Some(edns)) => usize::from(edns.max_payload()).max(MIN_UDP),
    };
    wire::fit(message, limit)
}

/// The frame of an answer: id and flags of the request, its question, EDNS if it had any.
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

fn refusal(request: &Message, rcode: Rcode) -> Option<Vec<u8>> {
    let mut message = response(request);
    message.metadata.response_code = wire::code(rcode);
    message.to_vec().ok()
}

/// FORMERR for what does not parse, if an id can be read; nothing for a stray response.
fn malformed(packet: &[u8]) -> Option<Vec<u8>> {
    let (id, flags) = packet.split_first_chunk::<2>()?;
    if flags.first().is_some_and(|first| first & 0x80 != 0) {
        return None;
    }
    let id = u16::from_be_bytes(*id);
    let message = Message::error_msg(id, OpCode::Query, wire::code(Rcode::FormErr));
    message.to_vec().ok()
}
