//! Plugins of CoreDNS that change a query on its way to the server, in front of a [`FakeDns`].

use std::{io, net::SocketAddr};

use discovery_testing::FakeDns;
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, Record, rdata::CNAME},
};
use tokio::{net::UdpSocket, task::JoinSet};

/// What happens to a query before the server gets it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plugin {
    /// `autopath @kubernetes` for a pod of `shop` (CoreDNS `plugin/autopath/autopath.go`): a name below the first entry of
    /// the search list is tried with every entry, and a CNAME leads to the one that exists.
    Autopath,
    /// `rewrite name <from> <to>` without `answer auto`: the records keep the other name.
    Rewrite { from: &'static str, to: &'static str },
}

const SEARCH: [&str; 5] = ["shop.svc.cluster.local.", "svc.cluster.local.", "cluster.local.", "corp.example.", ""];

/// A nameserver that passes queries to `dns` by way of `plugin`. It ends with the set that it is returned in.
pub(crate) async fn nameserver(dns: &FakeDns, plugin: Plugin) -> (SocketAddr, JoinSet<io::Result<()>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (addr, upstream) = (socket.local_addr().unwrap(), dns.addr());
    let mut server = JoinSet::new();
    server.spawn(serve(socket, upstream, plugin));
    (addr, server)
}

async fn serve(socket: UdpSocket, upstream: SocketAddr, plugin: Plugin) -> io::Result<()> {
    let mut packet = [0; 4096];
    loop {
        let (length, client) = socket.recv_from(&mut packet).await?;
        let query = Message::from_vec(&packet[..length]).unwrap();
        let answer = match plugin {
            Plugin::Autopath => autopath(query, upstream).await?,
            Plugin::Rewrite { from, to } => rewrite(query, upstream, from, to).await?,
        };
        socket.send_to(&answer.to_vec().unwrap(), client).await?;
    }
}

/// Asks the server about `name` in place of the name in `query`. The answer has the question of `query`.
async fn ask(query: &Message, name: &str, upstream: SocketAddr) -> io::Result<Message> {
    let mut message = query.clone();
    message.queries = vec![Query::query(Name::from_ascii(name).unwrap(), query.queries[0].query_type)];
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(&message.to_vec().unwrap(), upstream).await?;
    let mut packet = [0; 4096];
    let length = socket.recv(&mut packet).await?;
    let mut answer = Message::from_vec(&packet[..length]).unwrap();
    answer.queries.clone_from(&query.queries);
    Ok(answer)
}

async fn autopath(query: Message, upstream: SocketAddr) -> io::Result<Message> {
    let name = query.queries[0].name.to_ascii().to_ascii_lowercase();
    let Some(base) = name.strip_suffix(SEARCH[0]) else { return ask(&query, &name, upstream).await };
    let mut first = None;
    for entry in SEARCH {
        let mut answer = ask(&query, &format!("{base}{entry}"), upstream).await?;
        if answer.metadata.response_code == ResponseCode::NoError {
            lead_to_records(&mut answer);
            return Ok(answer);
        }
        first.get_or_insert(answer);
    }
    Ok(first.unwrap())
}

/// `cnamer` of the plugin: a CNAME from the queried name to the owner of the first record.
fn lead_to_records(answer: &mut Message) {
    let name = answer.queries[0].name.clone();
    let Some(record) = answer.answers.iter().find(|record| record.name != name) else { return };
    let cname = Record::from_rdata(name, record.ttl, RData::CNAME(CNAME(record.name.clone())));
    answer.answers.insert(0, cname);
}

async fn rewrite(query: Message, upstream: SocketAddr, from: &str, to: &str) -> io::Result<Message> {
    let name = query.queries[0].name.to_ascii();
    let name = if name.trim_end_matches('.') == from { to } else { &name };
    ask(&query, name, upstream).await
}
