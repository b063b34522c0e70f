//! The door for `fuzz/`: one entry for each decoder of what comes from the network or the disk. An entry takes any
//! bytes, and panics when the decoder breaks a promise. The test below drives the same entries, so that they cannot rot
//! where nobody fuzzes.

macro_rules! doors {
    ($($(#[$doc:meta])* $name:ident = $entry:path;)*) => {
        $($(#[$doc])* pub fn $name(data: &[u8]) {
            $entry(data);
        })*

        /// All of them by name.
        pub const ALL: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $name)),*];
    };
}

doors! {
    /// A request's head.
    head = crate::front::fuzzing::head;
    /// A chunked body.
    chunks = crate::front::fuzzing::chunks;
    /// WebSocket frames.
    ws_frames = crate::tunnel::fuzzing::frames;
    /// A client's upgrade on its way to the shard.
    upgrade = crate::tunnel::fuzzing::upgrade;
    /// A shard's answer to an upgrade.
    upgrade_answer = crate::tunnel::fuzzing::answer;
    /// A shard's answer to a probe.
    probe_answer = crate::probe::fuzzing::http;
    /// Frames between replicas.
    mesh_frames = crate::mesh::fuzzing::frames;
    /// Hellos and verdicts between replicas.
    mesh_hello = crate::mesh::fuzzing::hello;
    /// A stranger at the mesh port.
    mesh_handshake = crate::mesh::fuzzing::handshake;
    /// A snapshot file.
    snapshot = crate::snapshot::fuzzing::file;
}

#[cfg(test)]
mod tests;
