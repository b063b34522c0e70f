use super::*;

fn read(text: &str) -> Result<Script, ScriptError> {
    text.parse()
}

fn problem(line: &str) -> String {
    match read(line) {
        Err(ScriptError::Line { line: 1, problem }) => problem,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn every_kind_of_step_is_read_and_written_back() {
    let script = read(
        "# a comment\n\
         - at 5s kill replica-2 for 1500ms\n\
         at 1s restart shard-1\n\
         at 2s partition replica-1, clients | replica-2 for 10s # another\n\
         at 3s pause replica-1 for 1s\n\
         at 4s slow shard-1 by 300ms for 2s\n\
         at 6s drain shard-2 for 1s\n\
         at 8s down shard-1\n\
         at 9s ready shard-1\n\
         at 10s add shard-3\n\
         at 11s remove shard-1\n\
         at 13s flood 40 rooms\n\
         until 1m\n",
    )
    .unwrap();
    let text = script.to_string();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "at 1000ms restart shard-1",
            "at 2000ms partition replica-1, clients | replica-2",
            "at 3000ms pause replica-1",
            "at 4000ms resume replica-1",
            "at 4000ms slow shard-1 by 300ms",
            "at 5000ms kill replica-2",
            "at 6000ms slow shard-1 by 0ms",
            "at 6000ms drain shard-2",
            "at 6500ms restart replica-2",
            "at 7000ms ready shard-2",
            "at 8000ms down shard-1",
            "at 9000ms ready shard-1",
            "at 10000ms add shard-3",
            "at 11000ms remove shard-1",
            "at 12000ms heal replica-1, clients | replica-2",
            "at 13000ms flood 40 rooms",
            "until 60000ms",
        ]
    );
    assert_eq!(read(&text).unwrap(), script);
    script.check(2, 2).unwrap();
}

#[test]
fn mistakes_are_named_with_their_line() {
    assert!(problem("kill replica-1").contains("\"kill\""));
    assert!(problem("at 5 parsecs kill replica-1").contains("\"parsecs\""));
    assert!(problem("at 5x kill replica-1").contains("unit"));
    assert!(problem("at 2h kill replica-1").contains("3600 s"));
    assert!(problem("at 1s kill bill").contains("\"bill\""));
    assert!(problem("at 1s kill replica-0").contains("1 to 64"));
    assert!(problem("at 1s pause shard-1").contains("no replica"));
    assert!(problem("at 1s drain replica-1").contains("no shard"));
    assert!(problem("at 1s kill clients").contains("cut off"));
    assert!(problem("at 1s slow shard-1").contains("by TIME"));
    assert!(problem("at 1s partition replica-1").contains("two sides"));
    assert!(problem("at 1s partition replica-1 | replica-1").contains("both sides"));
    assert!(problem("at 1s flood many rooms").contains("flood N"));
    assert!(problem("at 1s add shard-3 for 2s").contains("`for`"));
    assert!(matches!(read("at 1s restart replica-1\n\nat x"), Err(ScriptError::Line { line: 3, .. })));
    assert_eq!(read("# nothing"), Err(ScriptError::Empty));
    assert!(matches!(read("at 5s restart replica-1\nuntil 5s"), Err(ScriptError::TooLate { .. })));
}

#[test]
fn a_script_without_an_end_goes_on_a_little() {
    assert_eq!(read("at 5s restart replica-1").unwrap().until, Duration::from_secs(11));
}

#[test]
fn a_script_about_nobody_is_refused() {
    let check = |text: &str| read(text).unwrap().check(2, 2).is_ok();
    assert!(check("at 1s kill replica-2"));
    assert!(!check("at 1s kill replica-3"));
    assert!(!check("at 1s partition replica-1 | shard-3"));
    assert!(!check("at 1s add shard-2"));
    assert!(check("at 1s add shard-3\nat 2s drain shard-3"));
    assert!(!check("at 1s remove shard-1\nat 2s drain shard-1"));
}

#[test]
fn built_in_scripts_can_be_carried_out() {
    for replicas in 1..4 {
        default_script(replicas, 2).check(replicas, 2).unwrap();
        for seed in 0..300 {
            let script = random_script(seed, Duration::from_secs(90), replicas, 2);
            script.check(replicas, 2).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{script}"));
            assert!(script.steps.len() >= 5, "seed {seed}");
        }
    }
    let random = |seed| random_script(seed, Duration::from_secs(90), 2, 3);
    assert_eq!(random(4), random(4));
    assert_ne!(random(4), random(5));
}
