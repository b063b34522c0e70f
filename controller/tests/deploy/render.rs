//! Runs kustomize and Helm on the files in deploy/.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn documents(yaml: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap_or_else(|why| panic!("{why}\n{yaml}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// What `kubectl kustomize deploy/kustomize/FOLDER` prints.
pub(crate) fn kustomize(folder: &str) -> Vec<Value> {
    let path = root().join("deploy/kustomize").join(folder);
    let output = Command::new("kubectl").arg("kustomize").arg(&path).output();
    let output = output.unwrap_or_else(|why| panic!("kubectl is needed ({why}): make test-tools installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "kubectl kustomize {}: {said}\nkubectl has to be 1.24 or later. Debian 12 has 1.20, which cannot read these files; \
         a current one comes from the Kubernetes project, or with Debian 13 (package kubernetes-client).",
        path.display()
    );
    assert!(said.is_empty(), "kubectl kustomize {folder} warns: {said}");
    documents(&String::from_utf8(output.stdout).unwrap())
}

/// Values to render the chart with.
pub(crate) struct Case {
    pub(crate) case: &'static str,
    pub(crate) name: &'static str,
    pub(crate) values: Value,
}

/// What Helm made of the chart: text by template, by case.
pub(crate) struct Chart {
    pub(crate) lint_errors: Vec<String>,
    pub(crate) cases: BTreeMap<String, Value>,
}

impl Chart {
    pub(crate) fn objects(&self, case: &str) -> Vec<Value> {
        let files = self.cases[case].as_object().unwrap();
        assert!(!files.contains_key("error"), "{case}: {}", files["error"]);
        let yaml = files.iter().filter(|(path, _)| path.ends_with(".yaml"));
        yaml.flat_map(|(_, text)| documents(text.as_str().unwrap())).collect()
    }
}

/// Lints the chart and renders it, by the Python package that wraps Helm's own code.
pub(crate) fn helm(cases: &[Case]) -> Chart {
    let python = root().join("target/helm-venv/bin/python");
    assert!(python.exists(), "{} is missing: make test-tools makes it", python.display());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases.json");
    let asked: BTreeMap<&str, Value> = cases
        .iter()
        .map(|case| (case.case, json!({"name": case.name, "namespace": "jitsi", "values": case.values})))
        .collect();
    fs::write(&file, serde_json::to_string(&asked).unwrap()).unwrap();
    let chart = root().join("deploy/helm/roompin");
    let output = Command::new(&python).arg(root().join("deploy/render.py")).arg(chart).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Severity 1 is advice; from 2 on it is a warning or worse.
    let messages = answer["lint"]["messages"].as_array().unwrap().iter();
    let mut lint_errors: Vec<String> =
        messages.filter(|one| one["severity"].as_i64().unwrap_or(9) > 1).map(ToString::to_string).collect();
    lint_errors.extend(answer["lint"]["errors"].as_array().unwrap().iter().map(ToString::to_string));
    Chart { lint_errors, cases: serde_json::from_value(answer["cases"].clone()).unwrap() }
}
