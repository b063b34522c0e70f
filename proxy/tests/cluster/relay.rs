//! A wire between two mesh ports that a test can cut.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Everything passes.
    Whole,
    /// Nothing passes, and nobody is told: packets are lost, connections stay.
    Silent,
    /// Connections break, and new ones break at once.
    Broken,
}

/// Listens, and carries what comes to another address while the wire is whole. Ends when dropped.
pub(crate) struct Relay {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// A whole wire to `to`.
    pub(crate) async fn start(to: SocketAddr) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), to).await
    }

    /// A whole wire from `at` to `to`. When it is dropped, connections are refused there.
    pub(crate) async fn start_at(at: SocketAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(watch::Sender::new(Wire::Whole));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, to, wire.subscribe()));
        Self { address, wire, _tasks: tasks }
    }

    /// From now on the wire is so.
    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, wire: watch::Receiver<Wire>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        let mut wire = wire.clone();
        connections.spawn(async move {
            let broken = wire.clone().wait_for_broken();
            tokio::select! {
                () = broken => {}
                _ = connection(stream, to, &mut wire) => {}
            }
        });
    }
}

trait Breaks {
    fn wait_for_broken(self) -> impl Future<Output = ()> + Send;
}

impl Breaks for watch::Receiver<Wire> {
    async fn wait_for_broken(mut self) {
        let _ = self.wait_for(|wire| *wire == Wire::Broken).await;
    }
}

async fn connection(near: TcpStream, to: SocketAddr, wire: &mut watch::Receiver<Wire>) -> io::Result<()> {
    let _ = wire.wait_for(|wire| *wire == Wire::Whole).await;
    let far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // The end of either direction is the end of both.
    tokio::select! {
        end = carry(near_in, far_out, wire.clone()) => end,
        end = carry(far_in, near_out, wire.clone()) => end,
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut wire: watch::Receiver<Wire>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        // What is on its way when the wire is cut arrives when it is whole again, as TCP has it.
        let _ = wire.wait_for(|wire| *wire == Wire::Whole).await;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
