//! What the program says and which code it leaves with.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

fn roompin(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roompin-proxy"));
    command.env_remove("ROOMPIN_CONFIG").args(arguments).output().expect("run roompin-proxy")
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_port_that_is_taken_is_named_and_the_exit_code_is_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roompin.yaml");
    // A second proxy by mistake, with the first one's files: it must not touch them.
    fs::write(folder.path().join("pins"), "not a snapshot").unwrap();
    let rest = "shards: {static: [{name: a, address: \"127.0.0.1:9\"}]}\nsnapshot: {path: pins}\n";
    for addresses in [
        format!("listen: [\"{taken}\"]\nadmin: {{address: \"127.0.0.1:0\"}}\n"),
        format!("listen: [\"127.0.0.1:0\"]\nadmin: {{address: \"{taken}\"}}\n"),
    ] {
        fs::write(&file, format!("{addresses}{rest}")).unwrap();
        let (code, _, stderr) = said(&roompin(&["run", "--config", file.to_str().unwrap()]));
        assert_eq!(code, Some(69), "{stderr}");
        let line = stderr.lines().find(|line| line.contains(&taken.to_string())).unwrap_or_else(|| panic!("{stderr}"));
        assert!(line.contains("ERROR") && line.contains("in use"), "{line}");
        assert_eq!(fs::read(folder.path().join("pins")).unwrap(), b"not a snapshot", "{stderr}");
    }
}

#[test]
fn a_bad_file_ends_with_64_and_all_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roompin.yaml");
    fs::write(&file, "listen: nowhere\nfront: {keep-alive: 3s}\nshards: {static: [{name: a, address: here}]}\n")
        .unwrap();
    for command in ["run", "check"] {
        let (code, _, stderr) = said(&roompin(&[command, "--config", file.to_str().unwrap()]));
        assert_eq!(code, Some(64), "{stderr}");
        for place in [":1:9: listen", ":2:9: front.keep-alive", ":3:38: shards.static[0].address"] {
            assert!(stderr.contains(place), "{command}: {place} in {stderr}");
        }
        assert!(stderr.ends_with("3 mistakes\n"), "{stderr}");
    }
    let (code, _, stderr) = said(&roompin(&["run", "--config", "/nowhere/roompin.yaml"]));
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.contains("/nowhere/roompin.yaml"), "{stderr}");
    for arguments in [&[][..], &["fly"], &["run"], &["run", "--config"], &["check", "--verbose"]] {
        assert_eq!(said(&roompin(arguments)).0, Some(64), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let (code, stdout, _) = said(&roompin(&["--help"]));
    assert_eq!(code, Some(0));
    for word in ["run", "check", "SIGHUP", "SIGTERM", "64", "69", "docs/configuration.md"] {
        assert!(stdout.contains(word), "{word} in {stdout}");
    }
    let version = format!("roompin-proxy {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(&roompin(&["--version"])), (Some(0), version, String::new()));
    for command in ["run", "check"] {
        assert_eq!(said(&roompin(&[command, "--help"])).0, Some(0));
    }
}

#[test]
fn every_example_passes_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    let beside = tempfile::tempdir().unwrap();
    let token = beside.path().join("token");
    fs::write(&token, "a-token-that-is-long-enough\n").unwrap();
    fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        // Beside a token, for the example that has one.
        let copy = beside.path().join(file.file_name().unwrap());
        fs::copy(&file, &copy).unwrap();
        let (code, stdout, stderr) = said(&roompin(&["check", "--config", copy.to_str().unwrap()]));
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{}", file.display());
        assert!(stdout.contains(": ok\n"), "{stdout}");
        checked += 1;
    }
    assert!(checked >= 3, "{checked} examples");
}
