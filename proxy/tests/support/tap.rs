//! A TCP relay that listens in, cuts, and corrupts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// Relays connections to one address until dropped.
pub(crate) struct Tap {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    corrupt: AtomicBool,
    /// What the first connection's dialler said, and what it was answered.
    recorded: Mutex<[Vec<u8>; 2]>,
    /// Counts cuts of both sides, and of the dialling side only.
    cuts: watch::Sender<(usize, usize)>,
}

impl Tap {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let task = tokio::spawn(accept(listener, to, Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Both directions of the first connection.
    pub(crate) fn recorded(&self) -> (Vec<u8>, Vec<u8>) {
        let [dialled, answered] = self.state.recorded.lock().unwrap().clone();
        (dialled, answered)
    }

    /// Ends the connections there are.
    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|(both, _)| *both += 1);
    }

    /// Ends the connections there are towards their diallers. Towards the other end they stay open, in silence.
    pub(crate) fn cut_diallers(&self) {
        self.state.cuts.send_modify(|(_, diallers)| *diallers += 1);
    }

    /// Changes the next bytes that a dialler says.
    pub(crate) fn corrupt(&self) {
        self.state.corrupt.store(true, Ordering::SeqCst);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: Arc<State>) {
    loop {
        let (dialler, _) = listener.accept().await.unwrap();
        let first = state.connections.fetch_add(1, Ordering::SeqCst) == 0;
        tokio::spawn(relay(dialler, to, Arc::clone(&state), first));
    }
}

async fn relay(dialler: TcpStream, to: SocketAddr, state: Arc<State>, first: bool) {
    let mut cuts = state.cuts.subscribe();
    let (both, diallers) = *cuts.borrow_and_update();
    let Ok(acceptor) = TcpStream::connect(to).await else { return };
    let (from_dialler, to_dialler) = dialler.into_split();
    let (from_acceptor, to_acceptor) = acceptor.into_split();
    let (mut to_dialler, mut to_acceptor) = (to_dialler, to_acceptor);
    let (mut from_dialler, mut from_acceptor) = (from_dialler, from_acceptor);
    let relayed = async {
        tokio::select! {
            () = pump(&mut from_dialler, &mut to_acceptor, &state, first.then_some(0), true) => {}
            () = pump(&mut from_acceptor, &mut to_dialler, &state, first.then_some(1), false) => {}
        }
    };
    let cut = tokio::select! {
        () = relayed => return,
        cut = cuts.wait_for(|now| *now != (both, diallers)) => *cut.unwrap(),
    };
    if cut.0 == both {
        // The dialler hears the end; the acceptor hears nothing, for longer than any test.
        drop((from_dialler, to_dialler));
        std::future::pending::<()>().await;
        drop((from_acceptor, to_acceptor));
    }
}

async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    state: &State,
    record: Option<usize>,
    corruptible: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if let Some(direction) = record {
            state.recorded.lock().unwrap()[direction].extend_from_slice(&buffer[..length]);
        }
        if corruptible && state.corrupt.swap(false, Ordering::SeqCst) {
            buffer[length - 1] ^= 1;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
