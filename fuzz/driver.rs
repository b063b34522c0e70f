// Drives fuzz entries without a fuzzer, from a test: what is in `fuzz/corpus/NAME`, and then so many inputs made from
// it, the same ones on every machine. Included by path into the tests of the crates whose doors it drives.

use std::{env, fs, panic::catch_unwind, path::PathBuf};

/// Inputs per entry; more with `FUZZ_RUNS=…`.
const RUNS: usize = 20_000;
/// Longest input made.
const MAX_LEN: usize = 4_096;

type Entry = (&'static str, fn(&[u8]));

/// Drives each entry; with `FUZZ_SEEDS=1`, writes what `begin` says into its corpus first.
pub(super) fn drive_all(entries: &[Entry], begin: fn(&str) -> Vec<Vec<u8>>) {
    let runs = env::var("FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let mut failed = Vec::new();
    for (name, entry) in entries {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(name);
        if env::var_os("FUZZ_SEEDS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (number, seed) in begin(name).iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:02}")), seed).unwrap();
            }
        }
        let mut paths: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}; FUZZ_SEEDS=1 writes it", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        paths.sort();
        let mut corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        corpus.extend(begin(name));
        assert!(!corpus.is_empty(), "{name} has no corpus");
        // All are tried, whatever one of them does.
        if catch_unwind(|| drive(name, *entry, &corpus, runs)).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "harmed: {failed:?}; the inputs are above");
}

fn drive(name: &str, entry: fn(&[u8]), corpus: &[Vec<u8>], runs: usize) {
    for seed in corpus {
        run(name, entry, seed);
    }
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ name.bytes().fold(0, |n, byte| n << 5 ^ u64::from(byte)));
    for _ in 0..runs {
        let mut input = chance.one_of(corpus).clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut input, corpus, &mut chance);
        }
        input.truncate(MAX_LEN);
        run(name, entry, &input);
    }
}

fn run(name: &str, entry: fn(&[u8]), input: &[u8]) {
    /// Says on a panic which input it was.
    struct Witness<'a>(&'a str, &'a [u8]);
    impl Drop for Witness<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{} fails with b\"{}\"", self.0, self.1.escape_ascii());
            }
        }
    }
    let witness = Witness(name, input);
    entry(input);
    drop(witness);
}

/// One small change, of the kinds that find what decoders overlook.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    const TELLING: [u8; 16] = *b"\0\x01\x7f\x80\xfe\xff\r\n :;,%?#\t";
    let at = chance.below(input.len() + 1);
    let range = at..input.len().min(at + 1 + chance.below(16));
    match chance.below(8) {
        0 if at < input.len() => input[at] ^= 1 << chance.below(8),
        1 if at < input.len() => input[at] = TELLING[chance.below(TELLING.len())],
        2 => input.insert(at, TELLING[chance.below(TELLING.len())]),
        3 => drop(input.drain(range)),
        4 => {
            let copy = input[range].to_vec();
            input.splice(at..at, copy);
        }
        5 => input.truncate(at),
        6 => {
            let other = chance.one_of(corpus);
            let from = chance.below(other.len() + 1);
            input.splice(at.., other[from..].iter().copied());
        }
        _ => {
            let number = [0_u32, 1, 0xff, 0xffff, 0x1_0000, u32::MAX][chance.below(6)].to_be_bytes();
            let wide = chance.below(2) * 2;
            for (place, byte) in input.iter_mut().skip(at).zip(&number[wide..]) {
                *place = *byte;
            }
        }
    }
}

/// xorshift64*: the same numbers everywhere, without a dependency.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % bound.max(1)
    }

    fn one_of<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a Vec<u8> {
        &corpus[self.below(corpus.len())]
    }
}
