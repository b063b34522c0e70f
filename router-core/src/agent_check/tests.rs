use proptest::prelude::*;

use super::*;

fn down(reason: Option<&str>) -> Option<AgentHealth> {
    Some(AgentHealth::Down { reason: reason.map(Into::into) })
}

#[test]
fn signal_sidecar_is_understood() {
    let reply = parse(b"up ready 100%\n").unwrap();
    assert_eq!(reply.health, Some(AgentHealth::Up));
    assert_eq!(reply.admin, Some(AgentAdmin::Ready));
    assert_eq!(reply.weight, Some(AgentWeight::Percent(100)));
    let reply = parse(b"down drain 0%\n").unwrap();
    assert_eq!(reply.health, down(None));
    assert_eq!(reply.admin, Some(AgentAdmin::Drain));
    assert_eq!(reply.weight, Some(AgentWeight::Percent(0)));
}

#[test]
fn every_separator_and_any_case() {
    let reply = parse(b"\t75%,MAINT  Up,maxconn:30\r\nrubbish").unwrap();
    assert_eq!(reply.weight, Some(AgentWeight::Percent(75)));
    assert_eq!(reply.admin, Some(AgentAdmin::Maint));
    assert_eq!(reply.health, Some(AgentHealth::Up));
    assert_eq!(reply.maxconn, Some(30));
}

#[test]
fn weights() {
    assert_eq!(parse(b"weight:128").unwrap().weight, Some(AgentWeight::Absolute(128)));
    assert_eq!(parse(b"weight:50%").unwrap().weight, Some(AgentWeight::Percent(50)));
    assert_eq!(parse(b"99999%").unwrap().weight, Some(AgentWeight::Percent(25_600)));
    assert_eq!(parse(b"weight:257"), Err(AgentCheckError::OutOfRange("weight:257".into())));
    assert_eq!(parse(b"4294967296%"), Err(AgentCheckError::OutOfRange("4294967296%".into())));
}

#[test]
fn reasons() {
    assert_eq!(parse(b"down#no focus, sorry\n").unwrap().health, down(Some("no focus, sorry")));
    assert_eq!(parse(b"drain fail # x\x07\n").unwrap().health, down(Some("x\\x07")));
    assert_eq!(parse(b"stopped#").unwrap().health, down(None));
    assert_eq!(parse(b"up # fine").unwrap().health, Some(AgentHealth::Up));
}

#[test]
fn what_is_left_out_is_none() {
    assert_eq!(parse(b"ready").unwrap(), AgentReply { admin: Some(AgentAdmin::Ready), ..AgentReply::default() });
}

#[test]
fn refused() {
    for word in ["upp", "50", "%", "weight:", "weight:%", "weight:-1", "maxconn:", "+5%", "5%%", "no"] {
        assert_eq!(parse(format!("up {word}\n").as_bytes()), Err(AgentCheckError::UnknownWord(word.into())));
    }
    assert_eq!(parse(b"caf\xe9"), Err(AgentCheckError::UnknownWord("caf\\xe9".into())));
    for nothing in [&b""[..], b"\n", b" ,\t\r\n", b"\nup", b"#down"] {
        assert_eq!(parse(nothing), Err(AgentCheckError::Empty));
    }
    assert_eq!(parse(&[b' '; MAX_LINE + 1]), Err(AgentCheckError::TooLong));
    assert!(parse(&[&[b' '; MAX_LINE - 2][..], b"up\n and then much more"].concat()).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_answered_and_errors_stay_short(line: Vec<u8>) {
        if let Err(error) = parse(&line) {
            prop_assert!(error.to_string().len() < 512);
        }
    }

    #[test]
    fn the_order_of_words_does_not_matter(weight in 0u16..=256, swap: bool, sep in "[ \t,]{1,3}") {
        let (a, b) = (format!("weight:{weight}"), String::from("drain"));
        let words = if swap { [b, a] } else { [a, b] };
        let reply = parse(words.join(&sep).as_bytes()).unwrap();
        prop_assert_eq!(reply.weight, Some(AgentWeight::Absolute(weight)));
        prop_assert_eq!(reply.admin, Some(AgentAdmin::Drain));
    }
}
