//! A DNS server on loopback whose zone a test changes while it runs. UDP and TCP on one port.

#![allow(dead_code, clippy::unwrap_used, reason = "every test binary uses its own part, and may panic")]

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hickory_proto::{
    op::{Header, HeaderCounts, Metadata, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{SOA, SRV},
    },
};
use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// How the server behaves towards questions for one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers from the zone.
    #[default]
    Well,
    /// Answers SERVFAIL.
    Broken,
    /// Does not answer.
    Silent,
}

#[derive(Default)]
struct Zone {
    records: HashMap<(Name, RecordType), Vec<Record>>,
    moods: BTreeMap<Name, Mood>,
    glue: bool,
    negative_ttl: u32,
}

/// The running server; it ends when this is dropped.
pub(crate) struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    udp: Arc<AtomicUsize>,
    tcp: Arc<AtomicUsize>,
    _server: Server<Handler>,
}

struct Handler {
    zone: Arc<Mutex<Zone>>,
    udp: Arc<AtomicUsize>,
    tcp: Arc<AtomicUsize>,
}

impl DnsServer {
    pub(crate) async fn start() -> Self {
        let (udp_socket, listener) = loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // The port may be taken for UDP; then another one.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let address = listener.local_addr().unwrap();
        let (udp, tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let zone = Arc::new(Mutex::new(Zone { negative_ttl: 0, ..Zone::default() }));
        let mut server = Server::new(Handler { zone: zone.clone(), udp: udp.clone(), tcp: tcp.clone() });
        server.register_socket(udp_socket);
        server.register_listener(listener, Duration::from_secs(5), 64);
        Self { address, zone, udp, tcp, _server: server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Questions that have come by UDP and by TCP.
    pub(crate) fn questions(&self) -> (usize, usize) {
        (self.udp.load(Ordering::SeqCst), self.tcp.load(Ordering::SeqCst))
    }

    /// Sets the addresses of a host.
    pub(crate) fn host(&self, name: &str, ttl: u32, ips: &[&str]) {
        let name = absolute(name);
        let ips = ips.iter().map(|ip| IpAddr::from_str(ip).unwrap());
        let (v4, v6): (Vec<_>, Vec<_>) = ips.partition(IpAddr::is_ipv4);
        for (kind, ips) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            let records = ips.into_iter().map(|ip| Record::from_rdata(name.clone(), ttl, RData::from(ip))).collect();
            self.set(&name, kind, records);
        }
    }

    /// Sets the targets of a service: priority, weight, port, target.
    pub(crate) fn service(&self, name: &str, ttl: u32, targets: &[(u16, u16, u16, &str)]) {
        let name = absolute(name);
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
            Record::from_rdata(name.clone(), ttl, RData::SRV(SRV::new(priority, weight, port, absolute(target))))
        };
        let records = targets.iter().map(record).collect();
        self.set(&name, RecordType::SRV, records);
    }

    /// Removes every record of a name: it becomes NXDOMAIN.
    pub(crate) fn remove(&self, name: &str) {
        let name = absolute(name);
        self.zone.lock().unwrap().records.retain(|(owner, _), _| *owner != name);
    }

    /// Sends addresses of SRV targets along, as CoreDNS does.
    pub(crate) fn with_glue(&self) {
        self.zone.lock().unwrap().glue = true;
    }

    /// Sets how questions for a name are treated.
    pub(crate) fn mood(&self, name: &str, mood: Mood) {
        self.zone.lock().unwrap().moods.insert(absolute(name), mood);
    }

    fn set(&self, name: &Name, kind: RecordType, records: Vec<Record>) {
        self.zone.lock().unwrap().records.insert((name.clone(), kind), records);
    }
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let counter = if request.protocol() == Protocol::Udp { &self.udp } else { &self.tcp };
        counter.fetch_add(1, Ordering::SeqCst);
        let info = request.request_info().unwrap();
        let (name, kind) = (Name::from(info.query.name().clone()), info.query.query_type());
        let mut metadata = Metadata::response_from_request(info.metadata);
        let (mut answers, mut additionals, mut soa) = (Vec::new(), Vec::new(), Vec::new());
        {
            let zone = self.zone.lock().unwrap();
            match zone.moods.get(&name).copied().unwrap_or_default() {
                Mood::Silent => {
                    return Header { metadata, counts: HeaderCounts::default() }.into();
                }
                Mood::Broken => metadata.response_code = ResponseCode::ServFail,
                Mood::Well => {
                    answers = zone.records.get(&(name.clone(), kind)).cloned().unwrap_or_default();
                    if !zone.records.keys().any(|(owner, _)| *owner == name) {
                        metadata.response_code = ResponseCode::NXDomain;
                    }
                    if answers.is_empty() {
                        let data = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, zone.negative_ttl);
                        soa.push(Record::from_rdata(name, zone.negative_ttl, RData::SOA(data)));
                    }
                    if zone.glue {
                        for answer in &answers {
                            if let RData::SRV(srv) = &answer.data {
                                for kind in [RecordType::A, RecordType::AAAA] {
                                    let known = zone.records.get(&(srv.target.clone(), kind));
                                    additionals.extend(known.cloned().unwrap_or_default());
                                }
                            }
                        }
                    }
                }
            }
        }
        let response = MessageResponseBuilder::new(&request.queries, request.edns.as_ref());
        let response = response.build(metadata, &answers, [], &soa, &additionals);
        handle.send_response(response).await.unwrap()
    }
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_str_relaxed(name).unwrap().to_lowercase();
    name.set_fqdn(true);
    name
}
