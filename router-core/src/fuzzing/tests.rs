use super::ALL;
use crate::cluster::fuzzing::seeds;

#[path = "../../../fuzz/driver.rs"]
mod driver;

/// What a corpus is begun with.
fn begin(name: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "message" => seeds::message(),
        "gossip" => seeds::gossip(),
        "conversation" => seeds::conversation(),
        "agent" => texts(&[
            "up ready 100%\n",
            "drain\r\n",
            "maint,weight:10",
            "weight:50%\tmaxconn:200",
            "down#no memory left\n",
            "STOPPED fail 0%",
        ]),
        "target" => texts(&[
            "/http-bind?room=Caf%C3%A9",
            "/a/b/xmpp-websocket?x=1&room=caf%25c3%25a9&room=other",
            "/tenant/Some%20Room",
            "/conference-request/v1?room=",
            "/_api/room-info?r%6fom=%E2%84%AB+x",
            "/libs/app.bundle.min.js?v=5",
            "/colibri-ws/jvb/1/2?room=%ff%fe",
        ]),
        _ => panic!("no seeds of {name}"),
    }
}

#[test]
fn no_decoder_is_harmed() {
    driver::drive_all(&ALL, begin);
}
