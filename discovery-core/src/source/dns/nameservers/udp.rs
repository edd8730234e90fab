//! One question to one nameserver over UDP: its packets, and the responses to any of them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use futures_util::future::select_all;
use hickory_net::proto::op::DnsRequest;
use tokio::{
    io::{Interest, Ready},
    net::UdpSocket,
    sync::OwnedSemaphorePermit,
};

use super::super::gate::SpareSocket;
use super::{round_trip::Transmissions, server::Permit};
use crate::{
    Error, clock,
    error::Kind,
    source::dns::message::{Packet, Query, Response, read},
};

/// Room for one response. Some servers send more than EDNS announces.
const BUFFER: usize = 4096;

/// How many packets of a question may come back as undeliverable. The nameserver's address may lead to several
/// replicas, of which only one is gone: libc asks twice, too.
const MAX_REFUSALS: u32 = 2;

/// How many packets carry EDNS to a nameserver that is not known to understand it, before the others go without.
const EDNS_PACKETS: u32 = 2;

/// The response to a question.
#[derive(Debug)]
pub(super) struct UdpAnswer {
    /// `None` if the response was truncated.
    pub(super) response: Option<Response>,
    /// Whether the packet that was answered had EDNS.
    pub(super) edns: bool,
}

/// Asks `query` until a response to one of its packets arrives, however late, or the permit's deadline passes.
///
/// Every packet has a fresh id. The packets that are sent again leave from new ports, which a Service's virtual address
/// may lead to another replica, and which a stale conntrack entry does not swallow; all sockets stay open for late
/// responses. That is one socket for each question, and for the retransmissions a few that all questions share: without
/// a free one, the packet leaves from the port of the packet before.
pub(super) async fn ask(permit: &Permit, query: &Query, edns: bool) -> Result<UdpAnswer, Error> {
    tokio::time::sleep_until(permit.starts().into()).await;
    let now = clock::now();
    let mut conversation = Conversation {
        permit,
        query,
        edns,
        sockets: Vec::new(),
        sent: Transmissions::new(now),
        refusals: 0,
        malformed: 0,
    };
    conversation.send(now).await?;
    conversation.listen().await
}

struct Conversation<'a> {
    permit: &'a Permit,
    query: &'a Query,
    edns: bool,
    sockets: Vec<Socket>,
    sent: Transmissions,
    refusals: u32,
    /// The number of responses that are not DNS messages.
    malformed: u32,
}

struct Socket {
    udp: UdpSocket,
    packets: Vec<Sent>,
    _spare: Option<(OwnedSemaphorePermit, SpareSocket)>,
}

struct Sent {
    request: DnsRequest,
    at: Instant,
    edns: bool,
}

impl Conversation<'_> {
    async fn listen(mut self) -> Result<UdpAnswer, Error> {
        let deadline = self.permit.deadline();
        let mut buffer = vec![0; BUFFER];
        let mut look_at = self.next();
        loop {
            let wake = look_at.unwrap_or(deadline).min(deadline);
            match tokio::time::timeout_at(wake.into(), receive(&self.sockets, &mut buffer)).await {
                Ok((at, Ok(len))) => {
                    if let Some(answer) = self.read(at, &buffer[..len]) {
                        return Ok(answer);
                    }
                    if self.is_hopeless() {
                        return Err(self.unanswered(clock::now()));
                    }
                }
                Ok((at, Err(error))) => {
                    self.refused(at, error).await?;
                    look_at = self.next();
                }
                Err(_) => {
                    let now = clock::now();
                    if now >= deadline {
                        return Err(self.unanswered(now));
                    }
                    look_at = match self.permit.again(&self.sent, now) {
                        Ok(()) => {
                            self.sent.sent(now);
                            self.send(now).await?;
                            self.next()
                        }
                        Err(later) => Some(later),
                    };
                }
            }
        }
    }

    /// When the next packet is due, if one is left.
    fn next(&self) -> Option<Instant> {
        if self.sent.count >= self.permit.max_packets() {
            self.permit.on_last_sent();
            return None;
        }
        let timeout = self.permit.timeout(self.query.is_for_cluster());
        Some(self.sent.next(timeout, self.permit.deadline()))
    }

    /// Whether every packet had a malformed response and none is left to send.
    fn is_hopeless(&self) -> bool {
        self.sent.count >= self.permit.max_packets() && self.malformed >= self.sent.count
    }

    /// Reads a packet; `None` if it is not a response to this question.
    fn read(&mut self, at: usize, packet: &[u8]) -> Option<UdpAnswer> {
        let now = clock::now();
        let socket = self.sockets.get(at)?;
        let (response, sent) = socket.packets.iter().find_map(|sent| match read(packet, &sent.request) {
            Packet::Stray => None,
            read => Some((read, sent)),
        })?;
        let took = now.saturating_duration_since(sent.at);
        self.permit.on_heard(self.query.is_for_cluster(), Some(took), now);
        let edns = sent.edns;
        match response {
            Packet::Response(response) => Some(UdpAnswer { response: Some(response), edns }),
            Packet::Truncated => Some(UdpAnswer { response: None, edns }),
            Packet::Malformed | Packet::Stray => {
                self.malformed += 1;
                None
            }
        }
    }

    /// Sends the packet that [`Transmissions`] has counted.
    async fn send(&mut self, now: Instant) -> Result<(), Error> {
        let doubtful = self.sent.count > EDNS_PACKETS && self.permit.is_edns_doubtful(now);
        let edns = self.edns && !doubtful;
        let request = self.query.to_request(edns)?;
        let bytes = request.to_vec().map_err(|error| self.failed("could not be encoded", error))?;
        let at = self.socket().await.map_err(|error| self.failed("failed: could not open a UDP socket", error))?;
        let socket = &mut self.sockets[at];
        socket.packets.push(Sent { request, at: now, edns });
        self.permit.on_sent(now);
        let sent = socket.udp.send(&bytes).await;
        sent.map(drop).map_err(|error| {
            self.permit.on_refused(now);
            self.failed("failed: could not send over UDP", error)
        })
    }

    /// The socket for the next packet: a new one if there may be one more.
    async fn socket(&mut self) -> io::Result<usize> {
        let spare = if self.sockets.is_empty() { None } else { self.permit.spare_socket() };
        if spare.is_some() || self.sockets.is_empty() {
            match open(self.permit.addr()).await {
                Ok(udp) => self.sockets.push(Socket { udp, packets: Vec::new(), _spare: spare }),
                // Out of descriptors, most likely: the port of the packet before will do.
                Err(error) if self.sockets.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(self.sockets.len() - 1)
    }

    /// The kernel reports a closed port or an unreachable address: sends one more packet at once, as libc does.
    async fn refused(&mut self, at: usize, error: io::Error) -> Result<(), Error> {
        self.sockets.remove(at);
        self.refusals += 1;
        let now = clock::now();
        if self.refusals >= MAX_REFUSALS || self.sent.count >= self.permit.max_packets() {
            self.permit.on_refused(now);
            return Err(self.failed("over UDP failed", error));
        }
        self.sent.sent(now);
        self.send(now).await
    }

    fn unanswered(&self, now: Instant) -> Error {
        self.permit.on_unanswered(now);
        let (addr, query, packets) = (self.permit.addr(), self.query, self.sent.count);
        if self.malformed > 0 {
            let malformed = self.malformed;
            return Error::transient(format!(
                "nameserver {addr} answered {query} with {malformed} malformed messages and no valid one"
            ));
        }
        let waited = round(now.saturating_duration_since(self.sent.first));
        Error::new(
            Kind::Timeout,
            format!("nameserver {addr} did not answer {query} within {waited:?} ({packets} packets)"),
        )
    }

    fn failed(&self, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        let (addr, query) = (self.permit.addr(), self.query);
        Error::with_source(Kind::Transient, format!("query {query} to nameserver {addr} {what}: {error}"), error)
    }
}

/// Opens a socket on a port that the kernel draws at random (RFC 6056), for packets from `to` only.
async fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// The next packet, or the next error, of any of the sockets. Cancel-safe.
async fn receive(sockets: &[Socket], buffer: &mut [u8]) -> (usize, io::Result<usize>) {
    loop {
        // Without `ERROR`, the kernel's report of a closed port wakes no reader.
        let ready = sockets.iter().map(|socket| Box::pin(socket.udp.ready(Interest::READABLE | Interest::ERROR)));
        let (ready, at, _) = select_all(ready).await;
        match ready.and_then(|ready| take(&sockets[at].udp, ready, buffer)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return (at, result),
        }
    }
}

/// Takes the error or the packet that a socket is ready for.
fn take(socket: &UdpSocket, ready: Ready, buffer: &mut [u8]) -> io::Result<usize> {
    if ready.is_error() {
        let pending = || socket.take_error()?.map_or(Err(io::ErrorKind::WouldBlock.into()), Err);
        match socket.try_io(Interest::ERROR, pending) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
    socket.try_recv(buffer)
}

fn round(waited: Duration) -> Duration {
    Duration::from_millis(waited.as_millis().try_into().unwrap_or(u64::MAX))
}
